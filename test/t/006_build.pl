# A build under observation: the phases that it shows, and what is left of one
# that is cancelled.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('build');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nmaintenance_work_mem = '1MB'\nclient_min_messages = warning\n");
$node->start;
# a build in memory, and one through temporary files; many trees make it last
$node->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	SELECT setseed(0.6);
	CREATE TABLE few AS SELECT id, (SELECT array_agg(random())::real[] FROM generate_series(1, 16) WHERE id > 0) AS vec FROM generate_series(1, 3000) id;
	CREATE TABLE many AS SELECT id, (SELECT array_agg(random())::real[] FROM generate_series(1, 32) WHERE id > 0) AS vec FROM generate_series(1, 20000) id;
	-- Watches the only build until it ends.
	CREATE PROCEDURE watch(OUT phases text, OUT tuples boolean) LANGUAGE plpgsql AS $$
	DECLARE
		seen text[] := '{}';
		row record;
		begun boolean := false;
	BEGIN
		tuples := true;
		FOR i IN 1..20000 LOOP
			SELECT phase, tuples_done, tuples_total INTO row FROM pg_stat_progress_create_index;
			EXIT WHEN begun AND NOT FOUND;
			IF FOUND THEN
				begun := true;
				tuples := tuples AND (row.phase !~ 'building$' OR row.tuples_done <= row.tuples_total);
				IF NOT row.phase = ANY (seen) THEN
					seen := seen || row.phase;
				END IF;
			END IF;
			PERFORM pg_sleep(0.002);
			COMMIT;
		END LOOP;
		phases := array_to_string(seen, ', ');
	END $$;
});

sub start_statement
{
	my ($statement, $out, $err) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $statement ], '<', \undef, '>', $out, '2>', $err);
}

foreach my $case ([ 'few', 'annoy', 'trees = 150' ], [ 'many', 'annoy', 'trees = 40' ],
	[ 'few', 'ann_hnsw', 'm = 60, ef_construction = 400' ], [ 'many', 'ann_hnsw', 'm = 16' ])
{
	my ($table, $method, $options) = @$case;
	my ($out, $err, $built, $problem);
	my $watch = start_statement('CALL watch(NULL, NULL)', \$out, \$err);

	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^CALL watch'});
	start_statement("CREATE INDEX ${table}_$method ON $table USING $method (vec) WITH ($options)", \$built, \$problem)->finish;
	$watch->finish;
	like($out, qr/building index: building/, "$table, $method: the phase of building is seen");
	like($out, qr/building index: dividing/, "$table, $method: the phase of dividing is seen") if $table eq 'many';
	like($out, qr/\|t$/, "$table, $method: as many tuples are done as there are, at most");
	is($problem, '', "$table, $method: built");
	is($node->safe_psql('postgres', "SELECT * FROM ann_check('${table}_$method', true) LIMIT 3"), '', "$table, $method: and sound");
}

# cancelled while rows are in temporary files
my ($rc, $out, $err) = $node->psql('postgres', q{
	\set VERBOSITY verbose
	SET statement_timeout = '400ms';
	CREATE INDEX cancelled ON many USING annoy (vec) WITH (trees = 1000);
	CREATE INDEX cancelled ON many USING ann_hnsw (vec) WITH (m = 100, ef_construction = 1000)}, on_error_stop => 0);
is(scalar(() = $err =~ /ERROR:  57014/g), 2, 'a build is cancelled, with each method');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_tmpdir()}), 0, 'no temporary file is left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'cancelled'}), 0, 'and no index');

# one whose backend is terminated leaves the server as it was
my ($built, $problem);
my $build = start_statement('CREATE INDEX terminated ON many USING ann_hnsw (vec) WITH (m = 100, ef_construction = 1000)', \$built, \$problem);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_progress_create_index WHERE phase ~ 'building$|dividing$'});
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index});
$build->finish;
like($problem, qr/terminating connection due to administrator command/, 'a build is terminated');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_progress_create_index});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_ls_tmpdir()}), 0, 'no temporary file is left of it');

# the build survives a clean restart
my $nearest = q{SET enable_seqscan = off; SELECT string_agg(id::text, ',') FROM (SELECT id FROM many ORDER BY vec <-> array_fill(0.5::real, ARRAY[32]) LIMIT 10) s};
my $before = $node->safe_psql('postgres', $nearest);
$node->restart;
is($node->safe_psql('postgres', $nearest), $before, 'the same answer after a restart');
$node->stop;
done_testing();
