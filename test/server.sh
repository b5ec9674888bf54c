# shellcheck shell=bash
#
# server.sh
#	  A private, temporary PostgreSQL server with the extension in it.
#
# Sourced by the scripts that need one (test/run, demo/run).  Finds or
# installs PostgreSQL, builds a copy of the tree, starts a server that listens
# on a Unix socket only, and removes every trace when the script ends, however
# it ends.  Nothing of the system or of the tree is written to, apart from the
# packages that ann_require installs.
#
# The callers use
#
#	ann_require [PACKAGE...]	what must be there; chooses PG_CONFIG
#	ann_start [CONF_LINE...]	ann_copy, ann_build, ann_serve in one
#	ann_as CMD...				run as the user who owns the server
#
# and the variables ANN_WORK (the temporary directory), ANN_WORK/src (the
# copy), PG_CONFIG, PGHOST, PGPORT, PGUSER, PGDATABASE.  The environment may
# set
#
#	PG_CONFIG	which PostgreSQL
#	COPT		more compiler flags, for instance sanitizers
#	ANN_USER	user to run as when we are root (postgres, else nobody)
#	ANN_PG_ENV	assignments for the server's environment (no blanks in them)
#	ANN_MAKE	more arguments for make (no blanks in them)
#	ANN_TMP		where to make the temporary directory (/tmp; keep it short,
#				socket paths end at 107 bytes)
#	KEEP=1		leave the temporary directory behind, and say where

ANN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
ANN_WORK=
ANN_JOB=
ANN_NOCLUSTER=

# A message on standard error.
ann_say()
{
	printf '%s\n' "$*" >&2
}

# A message, and the end of the script with failure.
ann_die()
{
	ann_say "$*"
	exit 1
}


# ---- What must be there -------------------------------------------------

# True if the directory BINDIR holds a server, and its pg_config ($2) headers
# and the build system for extensions.
ann_complete()
{
	[ -x "$1/postgres" ] && [ -x "$1/initdb" ] && [ -x "$1/psql" ] &&
		[ -f "$("$2" --pgxs)" ] &&
		[ -f "$("$2" --includedir-server)/postgres.h" ]
}

# Version numbers of the servers packaged by Debian, newest first.
ann_installed_versions()
{
	local dir

	for dir in /usr/lib/postgresql/*/bin/postgres; do
		[ ! -x "$dir" ] || printf '%s\n' "$dir"
	done | cut -d / -f 5 | sort -rn
}

# The version the distribution's package "postgresql" stands for, or nothing.
ann_default_version()
{
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | sort -rn | head -n 1
}

# Choose a PostgreSQL: leave its pg_config in PG_CONFIG, or leave PG_CONFIG
# empty and in ANN_VERSION the version to install, which is empty when even
# that is not known.
ann_choose()
{
	local v path

	ANN_VERSION=
	if [ -n "${PG_CONFIG:-}" ]; then
		path=$(command -v "$PG_CONFIG") ||
			ann_die "PG_CONFIG is \"$PG_CONFIG\", which is not a program."
		PG_CONFIG=$(cd "$(dirname "$path")" && pwd)/$(basename "$path")
		v=$("$PG_CONFIG" --bindir) || ann_die "$PG_CONFIG --bindir fails."
		case $v in
			/usr/lib/postgresql/*) v=${v#/usr/lib/postgresql/}; ANN_VERSION=${v%%/*} ;;
			*) ann_complete "$v" "$PG_CONFIG" ||
				ann_die "$PG_CONFIG belongs to an installation without server or headers." ;;
		esac
		return
	fi
	for v in $(ann_installed_versions); do
		path=/usr/lib/postgresql/$v/bin
		if [ -x "$path/pg_config" ] && ann_complete "$path" "$path/pg_config"; then
			PG_CONFIG=$path/pg_config ANN_VERSION=$v
			return
		fi
	done
	if path=$(command -v pg_config) && ann_complete "$("$path" --bindir)" "$path"; then
		PG_CONFIG=$path
		return
	fi
	PG_CONFIG=
	ANN_VERSION=$(ann_installed_versions | head -n 1)
	[ -n "$ANN_VERSION" ] || ANN_VERSION=$(ann_default_version)
}

# True if what the Debian package $1 gives us is there, whoever provided it.
ann_has()
{
	case $1 in
		gcc) command -v gcc ;;
		libc6-dev) [ -e /usr/include/stdio.h ] ;;
		make | gzip | perl) command -v "$1" && { [ "$1" != perl ] || command -v prove; } ;;
		zlib1g-dev) [ -e /usr/include/zlib.h ] ;;
		libpq-dev) [ -e "$("${PG_CONFIG:-pg_config}" --includedir)/libpq-fe.h" ] ;;
		libipc-run-perl) perl -MIPC::Run -e 1 ;;
		postgresql-server-dev-*) [ -f "/usr/lib/postgresql/${1##*-}/lib/pgxs/src/makefiles/pgxs.mk" ] ;;
		postgresql-[0-9]*) [ -x "/usr/lib/postgresql/${1##*-}/bin/postgres" ] ;;
		*) dpkg-query -W -f '${Status}' "$1" | grep -q 'install ok installed' ;;
	esac >/dev/null 2>&1
}

# Print those of the packages PACKAGE... (and of what the build needs) that
# are missing.
ann_missing()
{
	local p

	for p in gcc libc6-dev make gzip libpq-dev zlib1g-dev "$@"; do
		ann_has "$p" || printf '%s ' "$p"
	done
	if [ -n "$ANN_VERSION" ]; then
		for p in "postgresql-$ANN_VERSION" "postgresql-server-dev-$ANN_VERSION"; do
			ann_has "$p" || printf '%s ' "$p"
		done
	elif [ -z "$PG_CONFIG" ]; then
		printf 'postgresql postgresql-server-dev-all '
	fi
}

# Debian's PostgreSQL packages create and start a cluster when they are first
# installed.  Keep them from it with a file that ann_clusters_allow removes.
ann_clusters_forbid()
{
	ANN_NOCLUSTER=/etc/postgresql-common/createcluster.d/ann-temporary.conf
	"$@" mkdir -p "${ANN_NOCLUSTER%/*}"
	echo 'create_main_cluster = false' | "$@" tee "$ANN_NOCLUSTER" >/dev/null
}

# Undo ann_clusters_forbid.
ann_clusters_allow()
{
	[ -n "$ANN_NOCLUSTER" ] || return 0
	"$@" rm -f "$ANN_NOCLUSTER"
	"$@" rmdir --ignore-fail-on-non-empty "${ANN_NOCLUSTER%/*}"
	ANN_NOCLUSTER=
}

# Run "apt-get ARG..." through the prefix in ANN_SUDO, silent unless it fails.
ann_apt()
{
	local out

	out=$("${ANN_SUDO[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C \
		apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null) || {
		printf '%s\n' "$out" | tail -n 30 >&2
		ann_say "apt-get $1 failed."
		return 1
	}
}

# Make sure that the compiler, PostgreSQL with its headers, and the packages
# PACKAGE... are there, and set PG_CONFIG.  As root, or where sudo asks for no
# password, installs what is missing; else names the command, and exits.
ann_require()
{
	local missing

	ANN_SUDO=(env)
	[ "$(id -u)" = 0 ] || ANN_SUDO=(sudo -n)
	ann_choose
	missing=$(ann_missing "$@")
	if [ -n "$missing" ]; then
		command -v apt-get >/dev/null ||
			ann_die "Missing: $missing(Debian's names).  Also PostgreSQL 15 or later with its" \
				"server headers; PG_CONFIG=/path/to/pg_config chooses one."
		ann_install "$@"
	fi
	[ -n "$PG_CONFIG" ] || PG_CONFIG=/usr/lib/postgresql/$ANN_VERSION/bin/pg_config
	ann_complete "$("$PG_CONFIG" --bindir)" "$PG_CONFIG" ||
		ann_die "$PG_CONFIG belongs to an installation without server or headers."
	export PG_CONFIG
}

# The half of ann_require that changes the system.
ann_install()
{
	local missing update=

	if ! "${ANN_SUDO[@]}" true 2>/dev/null; then
		missing=$(ann_missing "$@")
		[ -n "$(ann_default_version)" ] || update='apt-get update && '
		ann_say "Some packages are missing.  Please run this once, and then try again:"
		ann_say ""
		if [ -n "$update" ]; then
			ann_say "    sudo sh -c '${update}apt-get install -y --no-install-recommends ${missing% }'"
		else
			ann_say "    sudo apt-get install -y --no-install-recommends ${missing% }"
		fi
		exit 1
	fi
	trap 'ann_clusters_allow "${ANN_SUDO[@]}"' EXIT
	trap 'exit 130' INT TERM HUP
	umask 022
	ann_apt update || exit 1
	ann_choose
	missing=$(ann_missing "$@")
	ann_say "Installing with apt-get: ${missing% }"
	ann_clusters_forbid "${ANN_SUDO[@]}"
	# shellcheck disable=SC2086	# a list of names
	ann_apt install --no-install-recommends $missing || exit 1
	ann_clusters_allow "${ANN_SUDO[@]}"
	trap - EXIT INT TERM HUP
	ann_choose
}


# ---- Running things as the server's user --------------------------------

# Run a command that ends with the script.  It leads a process group, by which
# ann_stop ends it, and is waited for in the background, so that a signal to
# the script takes effect at once.
ann_job()
{
	local rc=0

	setsid "$@" <&0 &
	ANN_JOB=$!
	wait "$ANN_JOB" 2>/dev/null || rc=$?
	ANN_JOB=
	return $rc
}

# Run a command as the user who owns the server, in the copy of the tree, with
# the server's environment.
ann_as()
{
	ann_job "${ANN_RUNAS[@]}" "${ANN_ENV[@]}" "$@"
}

# Process ids of whatever works inside ANN_WORK; there may be servers started
# by tests among them.
ann_inside()
{
	local dir pid

	for dir in /proc/[0-9]*/cwd; do
		[ "$dir" != "/proc/$$/cwd" ] || continue
		case $(readlink "$dir" 2>/dev/null) in
			"$ANN_WORK" | "$ANN_WORK"/*)
				pid=${dir#/proc/}
				printf '%s ' "${pid%/cwd}" ;;
		esac
	done
}

# End everything inside ANN_WORK: commands by SIGTERM, servers by SIGQUIT (an
# immediate shutdown), after ten seconds all by SIGKILL.
ann_stop()
{
	local i pids pid

	[ -z "$ANN_JOB" ] || kill -TERM -- "-$ANN_JOB" 2>/dev/null || true
	for ((i = 0; i < 100; i++)); do
		pids=$(ann_inside)
		[ -n "$pids" ] || return 0
		if [ $((i % 20)) = 0 ]; then
			for pid in $pids; do
				if [ -e "/proc/$pid/cwd/PG_VERSION" ]; then
					[ "$pid" != "$(head -n 1 "/proc/$pid/cwd/postmaster.pid" 2>/dev/null)" ] ||
						kill -QUIT "$pid" 2>/dev/null || true
				else
					kill -TERM "$pid" 2>/dev/null || true
				fi
			done
		fi
		sleep 0.1
	done
	# shellcheck disable=SC2086	# a list of numbers
	kill -KILL $pids 2>/dev/null || true
	sleep 0.2
}

# Trap: leave nothing behind.  $1 is the exit status, or empty for that of the
# last command.
ann_end()
{
	local rc=${1:-$?}

	trap '' INT TERM HUP
	trap - EXIT
	set +e
	if [ -n "$ANN_WORK" ]; then
		ann_stop
		if [ -n "${KEEP:-}" ]; then
			ann_say "kept: $ANN_WORK"
		else
			rm -rf "$ANN_WORK" || { sleep 1; rm -rf "$ANN_WORK"; }
		fi
	fi
	exit "$rc"
}


# ---- The server ---------------------------------------------------------

# Make ANN_WORK and copy the tree to ANN_WORK/src: what git tracks or would
# track, or without git everything, and then "make clean".
ann_copy()
{
	trap ann_end EXIT
	trap 'ann_end 130' INT
	trap 'ann_end 143' TERM
	trap 'ann_end 129' HUP
	[ ! -t 0 ] || exec </dev/null
	umask 022
	ANN_WORK=$(mktemp -d "${ANN_TMP:-/tmp}/ann.XXXXXX") || return 1
	[ ${#ANN_WORK} -le 80 ] ||
		ann_die "$ANN_WORK is too long a name for a socket's directory: set ANN_TMP to a shorter one."
	cp /bin/true "$ANN_WORK/runs" && "$ANN_WORK/runs" ||
		ann_die "Programs cannot be run in $ANN_WORK: set ANN_TMP to a directory where they can."
	ANN_WORK=$(cd "$ANN_WORK" && pwd -P)
	mkdir "$ANN_WORK/src" "$ANN_WORK/tmp" "$ANN_WORK/bin"
	ann_environment
	if ann_files >"$ANN_WORK/files"; then
		ann_tar --null -T "$ANN_WORK/files" && ann_own
	else
		ann_tar --exclude=./.git . && ann_own && ann_make clean
	fi
}

# Print the names of the files that git tracks or would track and that are
# there, each ended by a zero byte.  False if this is no working tree of git.
ann_files()
{
	local name

	[ -e "$ANN_ROOT/.git" ] || return 1
	git -C "$ANN_ROOT" -c safe.directory="$ANN_ROOT" ls-files -coz --exclude-standard \
		>"$ANN_WORK/tracked" 2>/dev/null || return 1
	while IFS= read -r -d '' name; do
		[ ! -e "$ANN_ROOT/$name" ] || printf '%s\0' "$name"
	done <"$ANN_WORK/tracked"
}

# Copy what the arguments of tar say from the tree to ANN_WORK/src.
ann_tar()
{
	tar -C "$ANN_ROOT" -cf "$ANN_WORK/tree" "$@" &&
		tar -C "$ANN_WORK/src" --no-same-owner -xf "$ANN_WORK/tree" &&
		rm "$ANN_WORK/tree"
}

# Who runs what: sets ANN_RUNAS (a command prefix), ANN_ENV (the environment
# of ann_as) and the variables for clients.
ann_environment()
{
	local name

	for name in ${!PG@}; do
		case $name in
			PG_CONFIG) ;;
			PG_*) ;;
			*) unset "$name" ;;
		esac
	done
	unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES LANGUAGE
	PATH=$ANN_WORK/bin:$("$PG_CONFIG" --bindir):$PATH
	export PATH LC_ALL=C PGCLIENTENCODING=UTF8
	export PGHOST=$ANN_WORK PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	ANN_RUNAS=()
	if [ "$(id -u)" = 0 ]; then
		[ -n "${ANN_USER:-}" ] || ANN_USER=$(id -un postgres 2>/dev/null || echo nobody)
		# runuser would do, but stays behind for two seconds when it is killed.
		ANN_RUNAS=(setpriv "--reuid=$ANN_USER" "--regid=$(id -g "$ANN_USER")" --init-groups)
		command -v setpriv >/dev/null || ANN_RUNAS=(runuser -u "$ANN_USER" --)
	fi
	# A background job would ignore Ctrl-C, and its children with it.
	ANN_ENV=(env -C "$ANN_WORK/src")
	! env --default-signal=INT true 2>/dev/null || ANN_ENV+=("--default-signal=INT,QUIT")
	ANN_ENV+=("HOME=$ANN_WORK" "TMPDIR=$ANN_WORK/tmp")
	ann_sanitizers
}

# Where COPT asks for sanitizers: let them stop at the first finding, and load
# their libraries into the server before all others.
ann_sanitizers()
{
	local libs

	case ${COPT:-} in
		*-fsanitize=*) ;;
		*) return 0 ;;
	esac
	export UBSAN_OPTIONS=${UBSAN_OPTIONS-halt_on_error=1:print_stacktrace=1}
	[ -z "${ANN_PG_ENV+set}" ] || return 0
	libs=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)
	ANN_PG_ENV="LD_PRELOAD=$libs"
	ANN_PG_ENV+=" ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1"
}

# Give ANN_WORK to the user who is to work in it.
ann_own()
{
	[ "$(id -u)" != 0 ] || chown -R "$ANN_USER" "$ANN_WORK"
	chmod 700 "$ANN_WORK"
}

# "make ARG..." in the copy; its output is shown only when it fails.
ann_make()
{
	# shellcheck disable=SC2086	# ANN_MAKE is a list
	ann_as make -s -j "$(nproc)" PG_CONFIG="$PG_CONFIG" with_llvm=no ${ANN_MAKE:-} "$@" \
		>"$ANN_WORK/make.log" 2>&1 || {
		cat "$ANN_WORK/make.log" >&2
		ann_say "make $* failed."
		return 1
	}
}

# True if the server knows the setting $1.
ann_knows()
{
	LC_ALL=C "$("$PG_CONFIG" --bindir)/postgres" --describe-config 2>/dev/null | grep -q "^$1	"
}

# Build the extension, and install it where no other server sees it.  Leaves
# in ANN_WORK/temp.conf what a server must have in its configuration to find
# it; TEMP_CONFIG names that file for the servers that TAP tests start.
#
# From version 18 on a server looks for extensions where extension_control_path
# says, and Debian's servers have extension_destdir.  Of any other we run a
# copy, because a server looks for its files relative to its program.
ann_build()
{
	local inst=$ANN_WORK/inst share lib

	share=$inst$("$PG_CONFIG" --sharedir) lib=$inst$("$PG_CONFIG" --pkglibdir)
	export TEMP_CONFIG=$ANN_WORK/temp.conf
	: >"$TEMP_CONFIG"
	if ann_knows extension_control_path; then
		echo "extension_control_path = '$share:\$system'"
		echo "dynamic_library_path = '$lib:\$libdir'"
	elif ann_knows extension_destdir; then
		echo "extension_destdir = '$inst'"
		echo "dynamic_library_path = '$lib:\$libdir'"
	else
		ann_copy_server || return 1
		inst=
	fi >"$TEMP_CONFIG"
	ann_make all && ann_make install DESTDIR="$inst"
}

# Copy an installation of its own prefix to ANN_WORK/pg, for want of a way to
# give it one more directory.
ann_copy_server()
{
	local bin prefix part

	bin=$("$PG_CONFIG" --bindir) prefix=${bin%/*}
	if [ "$bin" != "$prefix/bin" ] || [ "$prefix" = /usr ] || [ "$prefix" = /usr/local ] ||
		[ ! -d "$prefix/lib" ] || [ ! -d "$prefix/share" ] || [ ! -d "$prefix/include" ]; then
		[ -w "$("$PG_CONFIG" --sharedir)/extension" ] || {
			ann_say "This server finds extensions only in $("$PG_CONFIG" --sharedir), where we may not write."
			return 1
		}
		ann_say "Note: this server finds extensions only in its own directories; installing into these."
		return 0
	fi
	mkdir "$ANN_WORK/pg"
	for part in bin lib share include; do
		cp -R --reflink=auto "$prefix/$part" "$ANN_WORK/pg/$part"
	done
	PG_CONFIG=$ANN_WORK/pg/bin/pg_config
	PATH=$ANN_WORK/bin:$ANN_WORK/pg/bin:${PATH#*:*:}
	ann_own
}

# Create a cluster with the lines CONF_LINE... in its configuration, and start
# it.  Its log is ANN_WORK/log.
ann_serve()
{
	local bin

	bin=$("$PG_CONFIG" --bindir)
	# A pg_ctl in front of the other reaches the servers that tests start, too.
	if [ -n "${ANN_PG_ENV:-}" ]; then
		printf '#!/bin/sh\nexec env %s %s/pg_ctl "$@"\n' "$ANN_PG_ENV" "$bin" >"$ANN_WORK/bin/pg_ctl"
		chmod 755 "$ANN_WORK/bin/pg_ctl"
	fi
	ann_as "$bin/initdb" -D "$ANN_WORK/data" -U postgres -A trust -N --no-locale -E UTF8 \
		>"$ANN_WORK/initdb.log" 2>&1 || {
		cat "$ANN_WORK/initdb.log" >&2
		return 1
	}
	{
		echo "fsync = off"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$ANN_WORK'"
		echo "port = $PGPORT"
		cat "$TEMP_CONFIG"
		[ $# = 0 ] || printf '%s\n' "$@"
	} >>"$ANN_WORK/data/postgresql.conf"
	ann_as pg_ctl -s -w -t 120 -D "$ANN_WORK/data" -l "$ANN_WORK/log" start || {
		tail -n 40 "$ANN_WORK/log" >&2
		ann_say "The server does not start."
		return 1
	}
}

# All of it: a server that has the extension, as configured by CONF_LINE... .
ann_start()
{
	ann_copy || return 1
	ann_build || return 1
	ann_serve "$@"
}
