# A life for tables with indexes: what 007_crash and 008_churn do to them, and the
# questions that must have the same answers whatever was done.  There are six
# kinds, each once with annoy and, as hnsw_KIND, once with ann_hnsw:
#
#	f16		24 dimensions in clusters, and an index on n, so that no update is HOT
#	cosine	8 dimensions; a third equal rows, zero vectors and NULLs
#	bare	16 dimensions, double precision, scalar = none
#	long	2,500 dimensions: a block of codes spans pages, and so do vectors
#	late	6 dimensions, inner product; the index is created before the rows
#	parts	12 dimensions, a row a block, and an index of several chunks
package Churn;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my @kinds = qw(f16 cosine bare long late parts);
our @TABLES = (@kinds, map { "hnsw_$_" } @kinds);

my $setup = q{
	SET client_min_messages = warning;
	CREATE EXTENSION ann;
	CREATE TABLE lives (number int PRIMARY KEY, name text, dim int, type text, class text, operator text, options text, width int,
		method text DEFAULT 'annoy');
	INSERT INTO lives VALUES
		(0, 'f16', 24, 'real[]', 'real_l2_ops', '<->', '', 30),
		(1, 'cosine', 8, 'real[]', 'real_cosine_ops', '<=>', 'WITH (scalar = i8)', 30),
		(2, 'bare', 16, 'float8[]', 'double_l2_ops', '<->', 'WITH (scalar = none)', 30),
		(3, 'long', 2500, 'real[]', 'real_l2_ops', '<->', '', 2),
		(4, 'late', 6, 'real[]', 'real_ip_ops', '<#>', '', 30),
		(5, 'parts', 12, 'real[]', 'real_l2_ops', '<->', 'WITH (chunk_blocks = 1024)', 30);
	INSERT INTO lives SELECT number + 6, 'hnsw_' || name, dim, type, class, operator, options, width, 'ann_hnsw' FROM lives;

	-- A vector of a kind of table: random, but for every third of 'cosine'.
	CREATE FUNCTION vector(number int) RETURNS float8[] VOLATILE LANGUAGE plpgsql AS $$
	DECLARE
		dim int := (ARRAY[24, 8, 16, 2500, 6, 12])[number % 6 + 1];
		centre int := floor(random() * 20);
	BEGIN
		IF number % 6 = 1 AND random() < 0.33 THEN
			RETURN CASE floor(random() * 6) WHEN 0 THEN NULL WHEN 1 THEN array_fill(0, ARRAY[8])
				WHEN 2 THEN ARRAY[0, 0, 0, 0, 0, 0, 0, floor(random() * 3)] ELSE ARRAY[1, 2, 3, 4, 5, 6, 7, 8] END;
		END IF;
		RETURN (SELECT array_agg((sin(centre * 31 + j * j) + random() - 0.5)::real) FROM generate_series(1, dim) j);
	END
	$$;

	-- What a client does to a table; 'kind' is a number from 1 to 100.
	CREATE FUNCTION churn(number int, kind int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		t text := (SELECT name FROM lives WHERE lives.number = churn.number);
		n int := ceil((SELECT width FROM lives WHERE lives.number = churn.number) * random());
		first int;
		last int;
		chosen text;
	BEGIN
		EXECUTE 'SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM ' || t INTO first, last;
		first := first + floor((last - first + 1) * random());
		chosen := format(' WHERE id IN (SELECT id FROM %s WHERE id BETWEEN %s AND %s FOR UPDATE SKIP LOCKED)', t, first, first + n);
		CASE
			WHEN kind <= 35 THEN
				EXECUTE format('INSERT INTO %s (vec) SELECT vector(%s) FROM generate_series(1, %s)', t, number, n);
			WHEN kind <= 40 THEN
				EXECUTE format('COPY %s (vec) FROM %L', t, current_setting('data_directory') || '/copy_' || t);
			WHEN kind <= 55 THEN
				EXECUTE format('UPDATE %s SET vec = vector(%s)', t, number) || chosen;
			WHEN kind <= 65 THEN
				EXECUTE format('UPDATE %s SET n = n + 1', t) || chosen;
			WHEN kind <= 72 THEN
				FOR i IN 1..20 LOOP
					EXECUTE format('UPDATE %s SET vec = CASE WHEN %s %% 2 = 0 THEN vec ELSE vector(%s) END, n = n + 1 WHERE id =
						(SELECT id FROM %1$s WHERE id >= %s ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)', t, i, number, first);
				END LOOP;
			WHEN kind <= 78 THEN
				BEGIN
					EXECUTE format('INSERT INTO %s (vec) SELECT vector(%s) FROM generate_series(1, %s)', t, number, 2 * n);
					EXECUTE format('UPDATE %s SET vec = vector(%s)', t, number) || chosen;
					RAISE division_by_zero;
				EXCEPTION WHEN division_by_zero THEN
					NULL;
				END;
			ELSE
				-- as many as come, and a tenth, so that tables do not grow for ever
				n := n + greatest(0, last - first) / 10;
				EXECUTE format('DELETE FROM %s WHERE id IN (SELECT id FROM %1$s WHERE id BETWEEN %s AND %s FOR UPDATE SKIP LOCKED)',
					t, first, first + n);
		END CASE;
	END
	$$;

	-- A search: an error if its rows are not in order, or returned twice.
	CREATE FUNCTION search(number int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		l record;
		wrong bigint;
		twice bigint;
	BEGIN
		SELECT * INTO l FROM lives WHERE lives.number = search.number;
		SET LOCAL enable_seqscan = off;
		EXECUTE format('SELECT count(*) FILTER (WHERE x < before), count(*) - count(DISTINCT tid) FROM
			(SELECT x, tid, lag(x) OVER (ORDER BY place) AS before FROM
				(SELECT x, tid, row_number() OVER () AS place FROM
					(SELECT ctid AS tid, vec %s $1 AS x FROM %I ORDER BY vec %1$s $1 LIMIT 10) a) b) c', l.operator, l.name)
			INTO wrong, twice USING (SELECT array_agg(random() - 0.5) FROM generate_series(1, l.dim));
		IF wrong > 0 OR twice > 0 THEN
			RAISE EXCEPTION '%: % rows out of order, % twice', l.name, wrong, twice;
		END IF;
	END
	$$;

	-- Nothing, or what is wrong with a table's index: compares a full scan with the
	-- table.  Rows may be found late, where so many are dead, and how many depends on
	-- the moment; they are in order.
	CREATE FUNCTION compared(number int) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		l record;
		query float8[];
		line text;
		c record;
		d record;
	BEGIN
		SELECT * INTO l FROM lives WHERE lives.number = compared.number;
		query := (SELECT array_agg(sin(j) / 2) FROM generate_series(1, l.dim) j);
		SET LOCAL enable_seqscan = off;
		SET LOCAL enable_sort = off;
		SET LOCAL enable_bitmapscan = off;
		FOR line IN EXECUTE format('EXPLAIN (COSTS off) SELECT ctid FROM %I ORDER BY vec %s $1 OFFSET 0', l.name, l.operator) USING query LOOP
			EXIT;
		END LOOP;
		IF line !~ 'Index Scan using .*_vec' THEN
			RETURN 'no scan of the index: ' || line;
		END IF;
		EXECUTE format('CREATE TEMP TABLE scanned AS SELECT *, row_number() OVER () AS place
			FROM (SELECT ctid AS tid, vec %1$s $1 AS x FROM %2$I ORDER BY vec %1$s $1 OFFSET 0) s', l.operator, l.name) USING query;
		SET LOCAL enable_seqscan = on;
		SET LOCAL enable_sort = on;
		SET LOCAL enable_indexscan = off;
		EXECUTE format('SELECT count(*) FILTER (WHERE s.tid IS NULL) AS missing, count(s.tid) - count(DISTINCT s.tid) AS twice,
				count(*) FILTER (WHERE t.tid IS NULL) AS strange,
				count(*) FILTER (WHERE s.x IS DISTINCT FROM t.x AND s.tid = t.tid) AS differing
			FROM (SELECT ctid AS tid, vec %s $1 AS x FROM %I) t FULL JOIN scanned s USING (tid)', l.operator, l.name) INTO c USING query;
		SELECT count(*) FILTER (WHERE x < before) AS descents, count(*) FILTER (WHERE x < top) AS behind, count(*) AS n INTO d
		FROM (SELECT x, lag(x) OVER w AS before, max(x) OVER w AS top FROM scanned WHERE x <> 'NaN' WINDOW w AS (ORDER BY place)) s;
		DROP TABLE scanned;
		IF (c.missing, c.twice, c.strange, c.differing) = (0, 0, 0, 0) AND d.descents <= 1 THEN
			RETURN NULL;
		END IF;
		RETURN format('%s of %s: missing %s, twice %s, strange %s, differing %s, %s late in %s runs',
			l.name, d.n, c.missing, c.twice, c.strange, c.differing, d.behind, d.descents);
	END
	$$;

	DO $$
	DECLARE
		l record;
	BEGIN
		FOR l IN SELECT * FROM lives ORDER BY number LOOP
			EXECUTE format('CREATE TABLE %I (id serial PRIMARY KEY, n int DEFAULT 0, vec %s)', l.name, l.type);
			EXECUTE format('CREATE INDEX ON %I (n)', l.name);
			IF l.name ~ 'parts' THEN
				EXECUTE format('ALTER TABLE %I ADD filler text DEFAULT repeat(%L, 5000), ALTER filler SET STORAGE PLAIN', l.name, 'x');
			END IF;
			IF l.name !~ 'late' THEN
				EXECUTE format('INSERT INTO %I (vec) SELECT vector(%s) FROM generate_series(1, %s)', l.name, l.number, 40 * l.width);
			END IF;
			EXECUTE format('CREATE INDEX %s_vec ON %1$I USING %s (vec %s) %s', l.name, l.method, l.class, l.options);
			-- rows for COPY
			EXECUTE format('COPY (SELECT vector(%s) FROM generate_series(1, %s)) TO %L', l.number, 4 * l.width,
				current_setting('data_directory') || '/copy_' || l.name);
		END LOOP;
	END
	$$;
};

# Create the tables and all the rest.
sub setup
{
	my ($node, $seed) = @_;

	$node->safe_psql('postgres', 'SELECT setseed(' . ($seed % 1000) / 1000 . ");\n$setup");
}

# Run the mix in $clients sessions for $seconds, in the background.  Without
# $vacuum nobody calls VACUUM.
sub start
{
	my ($node, $clients, $seconds, $seed, $vacuum) = @_;
	my $dir = $node->basedir;
	my %scripts = (
		churn => [ 80, "\\set t random(0, $#TABLES)\n\\set k random(1, 100)\nSELECT churn(:t, :k);\n" ],
		search => [ 15, "\\set t random(0, $#TABLES)\nSELECT search(:t);\n" ]);
	my @args;
	my $run = {};

	if ($vacuum)
	{
		$scripts{"vacuum_$_"} = [ 1, "VACUUM $_;\n" ] foreach @TABLES;
	}
	foreach my $name (sort keys %scripts)
	{
		my ($weight, $text) = @{ $scripts{$name} };

		append_to_file("$dir/$name.sql", $text) unless -e "$dir/$name.sql";
		push @args, '-f', "$dir/$name.sql\@$weight";
	}
	$run->{process} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, "--random-seed=$seed", @args,
			'-d', $node->connstr('postgres') ],
		'<', \undef, '>', \$run->{out}, '2>', \$run->{err});
	return $run;
}

# Wait for the end of the mix, and return its errors; after a crash of the server
# all but that of the connection.
sub finish
{
	my ($run, $crashed) = @_;

	eval { IPC::Run::finish($run->{process}) };
	my @errors = grep { /ERROR|FATAL|PANIC/ || (!$crashed && /abort|fatal|connection/) } split(/\n/, $run->{err});
	@errors = grep { !/the database system is|because of crash of another server process|terminating connection/ } @errors if $crashed;
	return join("\n", splice(@errors, 0, 5));
}

# Every row is found once through each index, and ann_check finds nothing.
sub check
{
	my ($node, $what) = @_;

	is($node->safe_psql('postgres', 'SELECT compared(number) FROM lives ORDER BY number'), "\n" x $#TABLES,
		"$what: every row once, in order");
	is($node->safe_psql('postgres', 'SELECT search(number) FROM lives, generate_series(1, 10) ORDER BY number'), "\n" x (10 * @TABLES - 1),
		"$what: answers in order");
	is($node->safe_psql('postgres', q{
		SELECT name, c.* FROM lives, LATERAL (SELECT * FROM ann_check((name || '_vec')::regclass, true) LIMIT 5) c ORDER BY number}),
		'', "$what: ann_check finds nothing");
}

# What no server may say.
sub check_log
{
	my ($node) = @_;
	my @lines = grep { /TRAP|PANIC|XX00[012]|terminated by signal (?!9)/ } split(/\n/, slurp_file($node->logfile));

	is(join("\n", splice(@lines, 0, 5)), '', 'no failed assertion, and no corruption, in the log of ' . $node->name);
}

# End a server as kill -9 of all its processes does.
sub kill_all
{
	my ($node) = @_;
	my $postmaster = (split(/\n/, slurp_file($node->data_dir . '/postmaster.pid')))[0];
	my @pids;

	# no new ones meanwhile
	kill('STOP', $postmaster);
	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $file, '<', $stat) or next;
		my $line = <$file>;
		close($file);
		push @pids, $1 if defined $line && $line =~ /^(\d+) \(.*\) \S $postmaster /;
	}
	kill('KILL', @pids, $postmaster);
	foreach my $pid ($postmaster, @pids)
	{
		while (kill(0, $pid))
		{
			select(undef, undef, undef, 0.01);
		}
	}
	$node->{_pid} = undef;
}

1;
