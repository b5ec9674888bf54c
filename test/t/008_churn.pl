# ANN_CLIENTS (4) sessions insert, copy, update, delete, search and vacuum for
# ANN_SECONDS (15): none sees an error or rows out of order, and afterwards each
# index has every row once.  And an index that is created empty is loaded by as
# many at the same time.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Churn;

my $clients = $ENV{ANN_CLIENTS} // 4;
my $seconds = $ENV{ANN_SECONDS} // 15;
my $seed = $ENV{ANN_SEED} // 1;

my $node = PostgreSQL::Test::Cluster->new('churn');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
jit = off
shared_buffers = 16MB
max_wal_size = 512MB
max_connections = 50
log_error_verbosity = verbose
});
$node->start;
Churn::setup($node, $seed);

# in parts, so that a long run tells when something broke
my $parts = $seconds < 60 ? 1 : int($seconds / 30);
for my $part (1 .. $parts)
{
	my $run = Churn::start($node, $clients, int($seconds / $parts), $seed + $part, 1);

	is(Churn::finish($run), '', "part $part: no client saw an error");
	like($run->{out}, qr/actually processed: [1-9]/, "part $part: and they did something");
	Churn::check($node, "part $part");
}
$node->safe_psql('postgres', "VACUUM $_") foreach @Churn::TABLES;
Churn::check($node, 'after VACUUM');
# an index is not much larger than one that is built anew
$node->safe_psql('postgres', q{
	CREATE TABLE sizes AS SELECT name, pg_relation_size(name || '_vec') AS before FROM lives});
$node->safe_psql('postgres', "REINDEX INDEX ${_}_vec") foreach @Churn::TABLES;
note($node->safe_psql('postgres', q{
	SELECT name, before, pg_relation_size(name || '_vec') FROM sizes}));
Churn::check($node, 'after REINDEX');

# 20,000 vectors of 32 dimensions in 200 clusters: each client has its share
$node->safe_psql('postgres', q{
	CREATE TABLE source AS SELECT row_number() OVER () AS id, vec FROM
		(SELECT array_agg((sin(c * 31 + j * j) + 2 * random() - 1)::real) AS vec
		FROM (SELECT i, floor(200 * random())::int AS c FROM generate_series(1, 20200) i OFFSET 0) s, generate_series(1, 32) j GROUP BY i) s;
	CREATE TABLE queries AS SELECT vec AS q, NULL::float8 AS tenth FROM source WHERE id > 20000;
	DELETE FROM source WHERE id > 20000;
	CREATE INDEX ON source (id);
	UPDATE queries SET tenth = (SELECT max(x) FROM (SELECT vec <-> q AS x FROM source ORDER BY vec <-> q LIMIT 10) s);
	CREATE TABLE loaded (id int, vec real[]);
	CREATE INDEX loaded_vec ON loaded USING annoy (vec);
	CREATE SEQUENCE part;
	CREATE FUNCTION recall() RETURNS float8 LANGUAGE sql SET enable_seqscan = off AS $$
		SELECT sum((SELECT count(*) FROM (SELECT vec <-> q AS x FROM loaded ORDER BY vec <-> q LIMIT 10) s WHERE x <= tenth)) / sum(10) FROM queries
	$$;
});
$node->pgbench("-n -c $clients -t " . int((199 + $clients) / $clients), 0, [ qr{processed: [1-9]} ], [ qr{^$} ], 'loaded by several clients',
	{ '008_load' => 'INSERT INTO loaded SELECT s.* FROM source s, (SELECT nextval(\'part\') AS n OFFSET 0) p WHERE id BETWEEN n * 100 - 99 AND n * 100;' });
$node->safe_psql('postgres', 'VACUUM loaded');
is($node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM loaded ORDER BY vec <-> (SELECT q FROM queries LIMIT 1) OFFSET 0) s}),
	'20000|20000', 'every row once');
is($node->safe_psql('postgres', q{SELECT * FROM ann_check('loaded_vec', true) LIMIT 5}), '', 'ann_check finds nothing');
my $loaded = $node->safe_psql('postgres', 'SELECT recall()');
$node->safe_psql('postgres', 'REINDEX INDEX loaded_vec');
my $built = $node->safe_psql('postgres', 'SELECT recall()');
cmp_ok($loaded, '>=', $built - 0.02, "finds as much as a new index: $loaded, $built");

Churn::check_log($node);
$node->stop;
done_testing();
