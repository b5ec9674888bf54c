# No space left: in the middle of inserts, of the division of leaves, of VACUUM and
# of a build.  The statement fails, nothing is lost, the index is sound, and the
# next statement works as soon as there is space.
#
# A limit on the size of files, which a session sets for its own backend, stands
# in for a full disk.  Segments of WAL must fit, so they are small, and the indexes
# larger; their rows are computed from a number, so that the table is smaller.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'prlimit is not installed' if system('prlimit --version >/dev/null 2>&1') != 0;

my $node = PostgreSQL::Test::Cluster->new('space');
$node->init(extra => ['--wal-segsize=1']);
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
jit = off
max_wal_size = 64MB
client_min_messages = warning
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	-- Equal ones among the larger numbers, and NULL.
	CREATE FUNCTION vec(id int, dim int) RETURNS real[] IMMUTABLE LANGUAGE sql AS $$
		SELECT CASE WHEN id % 7 <> 0 OR id < 1000000 THEN
			(SELECT array_agg(sin(CASE WHEN id >= 1000000 THEN id % 3 ELSE id END * (j + 0.1) + j * j)::real) FROM generate_series(1, dim) j) END
	$$;
	CREATE TABLE cases (name text PRIMARY KEY, dim int, options text, rows int, method text DEFAULT 'annoy');
	INSERT INTO cases VALUES
		('common', 24, '', 6000),
		('bare', 24, 'WITH (scalar = none)', 8000),
		('wide', 300, 'WITH (trees = 3)', 1200),
		('long', 2500, '', 210);
	INSERT INTO cases VALUES
		('linked', 24, '', 2500, 'ann_hnsw'),
		('long_linked', 2500, '', 210, 'ann_hnsw');
	DO $$
	DECLARE
		c record;
	BEGIN
		FOR c IN SELECT * FROM cases LOOP
			EXECUTE format('CREATE TABLE %I (id int)', c.name);
			EXECUTE format('INSERT INTO %I SELECT generate_series(1, %s)', c.name, c.rows);
			EXECUTE format('CREATE INDEX %s_vec ON %1$I USING %s (vec(id, %s)) %s', c.name, c.method, c.dim, c.options);
		END LOOP;
	END
	$$;
	CREATE FUNCTION fill(name text, id int) RETURNS int LANGUAGE plpgsql AS $$
	DECLARE
		size bigint := pg_relation_size(name || '_vec');
	BEGIN
		WHILE pg_relation_size(name || '_vec') <= size LOOP
			EXECUTE format('INSERT INTO %I SELECT generate_series($1, $1 + 19)', name) USING id;
			id := id + 20;
		END LOOP;
		RETURN id;
	END
	$$;
	CREATE FUNCTION complete(name text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		d int := (SELECT dim FROM cases WHERE cases.name = complete.name);
		result text;
	BEGIN
		SET LOCAL enable_seqscan = off;
		EXECUTE format('SELECT CASE WHEN (count(*), count(DISTINCT tid)) = ((SELECT count(*) FROM %1$I), (SELECT count(*) FROM %1$I)) THEN ''complete''
			ELSE format(''%%s rows, %%s different, of %%s'', count(*), count(DISTINCT tid), (SELECT count(*) FROM %1$I)) END
			FROM (SELECT ctid AS tid FROM %1$I ORDER BY vec(id, %2$s) <-> vec(0, %2$s) OFFSET 0) s', name, d) INTO result;
		RETURN concat_ws(E'\n', result, (SELECT string_agg(c::text, E'\n') FROM (SELECT * FROM ann_check((name || '_vec')::regclass, true) LIMIT 3) c));
	END
	$$;
});

# In a session whose files may be larger than those of the index by so many pages:
# the error, or nothing.
sub with_space
{
	my ($name, $pages, $statement) = @_;
	my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('${name}_vec')");
	my $limit = $size + 8192 * $pages;
	my ($rc, $out, $err) = $node->psql('postgres', "COPY (SELECT) TO PROGRAM 'cat >/dev/null; prlimit --pid \$PPID --fsize=$limit:';\n$statement");

	die "limit of $limit bytes" if $limit < 1100000;
	return $err;
}

sub sound
{
	my ($name, $what) = @_;

	is($node->safe_psql('postgres', "SELECT complete('$name')"), 'complete', "$name: all is there $what");
}

my $full = qr/ERROR:  could not (extend|write|fallocate)?.*(File too large|No space left)/;
my $id = 100000;
my $vacuums = 0;

foreach my $name (qw(common bare wide long linked long_linked))
{
	my $many = { common => 5000, bare => 5000, wide => 300, long => 40, linked => 500, long_linked => 40 }->{$name};
	my $equal = { common => 3000, bare => 3000, wide => 300, long => 30, linked => 500, long_linked => 30 }->{$name};
	my $failed = 0;

	sound($name, 'at the start');
	# the more pages there are, the later in the work the last one is missed
	foreach my $pages (0 .. 5, 8, 13, 21)
	{
		my $err = with_space($name, $pages, "INSERT INTO $name SELECT generate_series($id, $id + $many)");

		$failed++ if $err =~ $full;
		like($err, qr/$full|^$/, "$name: an insert with $pages pages fails in the way it should");
		$err = with_space($name, $pages, "INSERT INTO $name SELECT 1000000 + generate_series(1, $equal)") if $pages % 4 == 0;
		like($err, qr/$full|^$/, "$name: and one of equal rows and NULL") if $pages % 4 == 0;
		$id += $many + 1;
		is($node->safe_psql('postgres', "INSERT INTO $name VALUES ($id)"), '', "$name: the next one works");
		$id++;
	}
	cmp_ok($failed, '>=', 5, "$name: inserts failed");
	sound($name, 'after inserts that failed');
	is($node->safe_psql('postgres', "INSERT INTO $name SELECT generate_series($id, $id + $many)"), '', "$name: and it grows again");
	$id += $many + 1;
	sound($name, 'and grows');

	# VACUUM writes leaves anew before it frees the old ones
	foreach my $pages (0, 0, 1)
	{
		$node->safe_psql('postgres', "VACUUM $name");
		# until no page is free
		$id = $node->safe_psql('postgres', "SELECT fill('$name', $id)");
		$node->safe_psql('postgres', "DELETE FROM $name WHERE mod(hashint4(id + $pages), 3) <> 0");
		my $err = with_space($name, $pages, "VACUUM (INDEX_CLEANUP on) $name");
		like($err, qr/$full|^$/, "$name: VACUUM with $pages pages");
		$vacuums++ if $err =~ $full;
		sound($name, 'after it');
		is($node->safe_psql('postgres', "INSERT INTO $name SELECT generate_series($id, $id + 50)"), '', "$name: inserts work");
		$id += 51;
		is($node->safe_psql('postgres', "VACUUM $name"), '', "$name: VACUUM works");
		sound($name, 'at last');
	}

	# a build
	my $err = $node->safe_psql('postgres', "SELECT pg_relation_size('${name}_vec')") < 1300000 ? 'skipped' :
		with_space($name, -20, "REINDEX INDEX ${name}_vec");
	like($err, qr/$full|^$|skipped/, "$name: a build fails in the way it should");
	sound($name, 'and the old index is still there');
	is($node->safe_psql('postgres', "REINDEX INDEX ${name}_vec"), '', "$name: with space it works");
	sound($name, 'in the new index');
}
cmp_ok($vacuums, '>=', 1, 'VACUUM failed, too');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'no temporary file is left');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX00[12]/, 'nothing worse in the log');
$node->stop;
done_testing();
