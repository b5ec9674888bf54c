# Nothing is lost: a standby answers as its primary does, and a crash at any
# moment leaves an index that finds every committed row.  All WAL is checked
# against the pages it makes (wal_consistency_checking).  Each method has an index
# of the same rows, and a distance of its own to be asked by.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
wal_consistency_checking = 'all'
autovacuum = off
});
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	SELECT setseed(0.5);
	CREATE TABLE items (id int PRIMARY KEY, vec real[]);
	INSERT INTO items SELECT i, array_agg(random()) FROM generate_series(1, 3000) i, generate_series(1, 20) GROUP BY i;
	INSERT INTO items SELECT 3000 + i, '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1}' FROM generate_series(1, 200) i;
	INSERT INTO items SELECT 3200 + i, NULL FROM generate_series(1, 200) i;
	CREATE TABLE queries AS SELECT i AS id, array_agg(random())::real[] AS q FROM generate_series(1, 30) i, generate_series(1, 20) GROUP BY i;
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my %operator = (annoy => '<->', ann_hnsw => '<=>');

# What each index finds for all queries, and whether a scan of it is complete: two
# counts, of all rows and of different ones.
# with effort enough that rows which nobody sees, of a transaction that never ended, do
# not keep others from being found
my $answers = join('', 'SET enable_seqscan = off; SET ann.search_k = 10000; SET ann.ef_search = 1000;', map { qq{
	SELECT md5(string_agg(queries.id || ':' || found.id, ',' ORDER BY queries.id, n))
	FROM queries, LATERAL (SELECT id, row_number() OVER () AS n FROM
		(SELECT id FROM items ORDER BY vec $operator{$_} q, id LIMIT 20) nearest) found;
} } sort keys %operator);
my $complete = join('', 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;', map { qq{
	SELECT count(*), count(DISTINCT id) FROM
		(SELECT id FROM items ORDER BY vec $operator{$_} (SELECT q FROM queries LIMIT 1) OFFSET 0) found;
} } sort keys %operator);

sub same_on_standby
{
	my ($what) = @_;

	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	is($standby->safe_psql('postgres', $answers), $primary->safe_psql('postgres', $answers),
		"the standby answers the same $what");
	is($standby->safe_psql('postgres', $complete), $primary->safe_psql('postgres', $complete),
		"the standby finds as many rows $what");
}

sub complete_after
{
	my ($what) = @_;
	my $rows = $primary->safe_psql('postgres', 'SELECT count(*) FROM items');

	is($primary->safe_psql('postgres', $complete), "$rows|$rows\n$rows|$rows", "every row once $what");
	is($primary->safe_psql('postgres', q{
		SELECT index, c.* FROM unnest('{annoy_vec,ann_hnsw_vec}'::text[]) index, ann_check(index::regclass, true) c LIMIT 5}), '',
		"ann_check finds nothing $what");
}

$primary->safe_psql('postgres', q{
	CREATE INDEX annoy_vec ON items USING annoy (vec);
	CREATE INDEX ann_hnsw_vec ON items USING ann_hnsw (vec real_cosine_ops);
});
foreach my $method (sort keys %operator)
{
	like($primary->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN SELECT id FROM items ORDER BY vec $operator{$method} '{}' OFFSET 0"),
		qr/Index Scan using ${method}_vec/, "the scan that is counted uses the index of $method");
}
complete_after('after the build');
same_on_standby('after the build');

$primary->safe_psql('postgres', q{
	INSERT INTO items SELECT 10000 + i, array_agg(random()) FROM generate_series(1, 500) i, generate_series(1, 20) GROUP BY i;
	INSERT INTO items SELECT 11000 + i, '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1}' FROM generate_series(1, 50) i;
	INSERT INTO items SELECT 12000 + i, NULL FROM generate_series(1, 50) i;
	UPDATE items SET vec = (SELECT array_agg(random() + 0 * g) FROM generate_series(1, 20) g) WHERE id % 10 = 3;
});
complete_after('after inserts and updates');
same_on_standby('after inserts and updates');

$primary->safe_psql('postgres', q{
	DELETE FROM items WHERE id % 3 = 0;
	VACUUM items;
	INSERT INTO items SELECT 20000 + i, array_agg(random()) FROM generate_series(1, 300) i, generate_series(1, 20) GROUP BY i;
});
complete_after('after vacuum and reuse');
same_on_standby('after vacuum and reuse');

# Rows are deleted, and the index takes other dimensions, before any page of the
# table is pruned: a snapshot of the standby that sees the rows is in conflict.
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 0');
$standby->reload;
foreach my $method (sort keys %operator)
{
	my ($in, $out, $err) = ('', '', '');
	my $look = "SET enable_seqscan = off; SELECT 'rows: ' || count(*) FROM (SELECT id FROM fickle ORDER BY vec <-> (SELECT NULL::real[]) OFFSET 0) s;\n";

	$primary->safe_psql('postgres', "CREATE TABLE fickle (id int, vec real[]) WITH (autovacuum_enabled = off);
		CREATE INDEX ON fickle USING $method (vec);
		INSERT INTO fickle SELECT i, ARRAY[1, 2, i] FROM generate_series(1, 3) i;
		CREATE FUNCTION come() RETURNS bool LANGUAGE sql AS \$\$ INSERT INTO fickle VALUES (4, '{1,2,3,4}') RETURNING true \$\$");
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $standby->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
	$in = "BEGIN ISOLATION LEVEL REPEATABLE READ; $look";
	$session->pump until $out =~ /rows: 3/ || $err =~ /ERROR|FATAL/;
	like($out, qr/rows: 3/, "$method: a snapshot of the standby sees three rows");
	$out = '';
	$primary->safe_psql('postgres', 'DELETE FROM fickle');
	# a snapshot on the primary keeps them for a moment
	ok($primary->poll_query_until('postgres', 'SELECT come()'), "$method: they go, and others come");
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	$in = "$look\\q\n";
	eval { $session->finish };
	unlike($out, qr/rows: [012]/, "$method: it sees no fewer later");
	like($err, qr/conflict with recovery/, "$method: the conflict is told");
	is($standby->safe_psql('postgres', "SET enable_seqscan = off; SELECT id FROM fickle ORDER BY vec <-> '{1,2,3,4}' LIMIT 5"), '4',
		"$method: others see what there is now");
	$primary->safe_psql('postgres', 'DROP TABLE fickle; DROP FUNCTION come()');
}
$standby->stop;

# crashes: with committed work just behind, in the middle of a build, of inserts
$primary->safe_psql('postgres', 'REINDEX INDEX annoy_vec; REINDEX INDEX ann_hnsw_vec');
$primary->stop('immediate');
$primary->start;
complete_after('after a crash right behind a build');

foreach my $statement ('DO $$BEGIN LOOP REINDEX INDEX annoy_vec; REINDEX INDEX ann_hnsw_vec; END LOOP; END$$',
	'INSERT INTO items SELECT 30000 + i, array_agg(random()) FROM generate_series(1, 100000) i, generate_series(1, 20) GROUP BY i')
{
	my $before = $primary->safe_psql('postgres', $answers);
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $primary->connstr('postgres'), '-c', $statement ],
		'>', \my $out, '2>', \my $err);

	ok($primary->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^(DO|INSERT)' AND state = 'active'}),
		"under way: $statement");
	usleep(500_000);
	$primary->stop('immediate');
	eval { IPC::Run::finish($session); };
	$primary->start;
	complete_after("after a crash in the middle of: $statement");
	is($primary->safe_psql('postgres', $answers), $before, 'and the same answers as before it');
}

# unlogged indexes are empty after a crash, and work
$primary->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE fleeting (id int, vec real[]);
	INSERT INTO fleeting SELECT i, ARRAY[i, 1] FROM generate_series(1, 100) i;
	CREATE INDEX ON fleeting USING annoy (vec);
	CREATE INDEX ON fleeting USING ann_hnsw (vec real_cosine_ops);
});
$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', q{
	INSERT INTO fleeting VALUES (7, '{1,2}');
	SET enable_seqscan = off;
	SELECT id FROM fleeting ORDER BY vec <-> '{1,2}' LIMIT 5;
	SELECT id FROM fleeting ORDER BY vec <=> '{1,2}' LIMIT 5;
}), "7\n7", 'an unlogged index begins anew after a crash');

# a dump keeps the options
my $dump = $primary->basedir . '/dump.sql';
$primary->safe_psql('postgres', q{
	CREATE INDEX optioned ON items USING annoy (vec real_cosine_ops) WITH (trees = 1, scalar = i8);
	CREATE INDEX linked ON items USING ann_hnsw (vec real_ip_ops) WITH (m = 8, ef_construction = 50, scalar = none, dimensions = 20);
});
$primary->command_ok([ 'pg_dump', '--file', $dump, $primary->connstr('postgres') ], 'dumped');
like(slurp_file($dump), qr/USING annoy \(vec public\.real_cosine_ops\) WITH \(trees='1', scalar=i8\)/, 'with the options');
like(slurp_file($dump), qr/USING ann_hnsw \(vec public\.real_ip_ops\) WITH \(m='8', ef_construction='50', scalar='none', dimensions='20'\)/,
	'and with those of the other method');
$primary->safe_psql('postgres', 'CREATE DATABASE restored');
$primary->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $primary->connstr('restored') ], 'restored');
is($primary->safe_psql('restored', "SELECT metric, scalar, trees FROM ann_index_info('optioned')"), 'cosine|i8|1',
	'the restored index is what it was');
is($primary->safe_psql('restored', "SELECT metric, scalar, dimensions, array_to_string(options, ' ')
		FROM ann_index_info('linked'), (SELECT reloptions AS options FROM pg_class WHERE relname = 'linked') c"),
	'ip|none|20|m=8 ef_construction=50 scalar=none dimensions=20', 'and so is the other');

$primary->stop;
done_testing();
