# ANN_CLIENTS (4) sessions ask questions of all kinds for ANN_SECONDS (15), while
# tables change and indexes are built anew: each answer is sorted and true, has as many
# rows as it should, and on the average nearly all of the nearest; no session grows.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Churn;
use Queries;

my $clients = $ENV{ANN_CLIENTS} // 4;
my $seconds = $ENV{ANN_SECONDS} // 15;
my $seed = $ENV{ANN_SEED} // 1;
my $floor = 0.85;

my $node = PostgreSQL::Test::Cluster->new('queries');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
jit = off
shared_buffers = 32MB
max_wal_size = 512MB
max_connections = 50
max_parallel_workers_per_gather = 0
log_error_verbosity = verbose
});
$node->start;
Queries::setup($node, $seed);

# in parts, so that a long run tells when something broke
my $parts = $seconds < 240 ? 1 : int($seconds / 240);
for my $part (1 .. $parts)
{
	$node->safe_psql('postgres', 'TRUNCATE memory');
	my $run = Queries::start($node, $clients, int($seconds / $parts), $seed + $part);

	is(Churn::finish($run), '', "part $part: no client saw an error");
	like($run->{out}, qr/actually processed: [1-9]/, "part $part: and they did something");
	is($node->safe_psql('postgres', q{
		SELECT i.oid::regclass, c.* FROM pg_class i JOIN pg_am a ON a.oid = i.relam,
			LATERAL (SELECT * FROM ann_check(i.oid, true) LIMIT 5) c
		WHERE i.relkind = 'i' AND a.amname IN ('annoy', 'ann_hnsw')}), '', "part $part: ann_check finds nothing");
	is($node->safe_psql('postgres', 'SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid'), '',
		"part $part: no index is left half built");
	# at its least, a session has no more in the last third than in the one before
	my $memory = $node->safe_psql('postgres', q{
		SELECT pid, c3 - c2, o3 - o2 FROM
			(SELECT pid, min(contexts) FILTER (WHERE third = 2) AS c2, min(contexts) FILTER (WHERE third = 3) AS c3,
				min(own) FILTER (WHERE third = 2) AS o2, min(own) FILTER (WHERE third = 3) AS o3
			FROM (SELECT *, ntile(3) OVER (PARTITION BY pid ORDER BY at) AS third FROM memory) s GROUP BY pid) s ORDER BY pid});
	note("memory of sessions, growth in kB:\n$memory");
	is(scalar(grep { my (undef, $contexts, $own) = split(/\|/); ($contexts || 0) > 1024 || ($own || 0) > 8192 } split(/\n/, $memory)), 0,
		"part $part: no session grows");
}

# Of each kind and method: answers, how many came through an index, how many had rows
# that were found late, and recall.
my $recall = $node->safe_psql('postgres', q{
	SELECT kind, method, standard, count(*), count(*) FILTER (WHERE searches > 0), count(*) FILTER (WHERE late > 0),
		round(sum(hits) / nullif(sum(wanted), 0), 4) FROM answers GROUP BY kind, method, standard ORDER BY kind, method, standard});
note("kind, method, default settings, answers, through an index, with late rows, recall:\n$recall");
foreach (split(/\n/, $recall))
{
	my ($kind, $method, $standard, undef, $searched, undef, $found) = split(/\|/);
	next if $standard eq 'f';

	cmp_ok($found, '>=', $floor, "$method, $kind: recall");
	cmp_ok($searched, '>', 0, "$method, $kind: some answers came through an index") if $kind =~ /^(limit|offset|join|prepared|cursor|end)$/;
}
Churn::check_log($node);
$node->stop;
done_testing();
