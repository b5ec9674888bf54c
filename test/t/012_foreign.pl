# Tables of another server, through postgres_fdw: where the foreign server is told
# that both have the extension, the order by distance and the LIMIT are sent over,
# and the index there is searched, also for a partition that lives there.  Skipped
# where postgres_fdw is not installed.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('foreign');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nmax_parallel_workers_per_gather = 0\n");
$node->start;
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0')
{
	$node->stop;
	plan skip_all => 'postgres_fdw is not installed';
}

# The remote side is a database of the same server.
$node->safe_psql('postgres', 'CREATE DATABASE remote');
$node->safe_psql('remote', q{
	CREATE EXTENSION ann;
	SELECT setseed(0.1);
	CREATE TABLE items AS SELECT id, id % 10 AS tenth, array_agg(random())::real[] AS r, array_agg(random()) AS d
		FROM generate_series(1, 5000) id, generate_series(1, 8) GROUP BY id;
});
my ($host, $port) = ($node->host, $node->port);
$node->safe_psql('postgres', qq{
	CREATE EXTENSION ann;
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'remote', extensions 'ann');
	CREATE USER MAPPING FOR CURRENT_USER SERVER there;
	CREATE FOREIGN TABLE items (id int, tenth int, r real[], d float8[]) SERVER there;
	CREATE TABLE parts (LIKE items) PARTITION BY LIST (tenth);
	CREATE TABLE parts_here PARTITION OF parts FOR VALUES IN (10);
	CREATE FOREIGN TABLE parts_there PARTITION OF parts DEFAULT SERVER there OPTIONS (table_name 'items');
	SELECT setseed(0.2);
	INSERT INTO parts SELECT id, 10, array_agg(random())::real[], array_agg(random())
		FROM generate_series(5001, 7000) id, generate_series(1, 8) GROUP BY id;
	ANALYZE parts_here, items, parts_there;
});

my $q = "'{0.5,0.3,0.6,0.2,0.8,0.1,0.5,0.4}'";

# How often the indexes there have been searched; counted when a session ends.
sub searches
{
	return $node->safe_psql('remote', 'SELECT sum(idx_scan) FROM pg_stat_user_indexes');
}

sub searched
{
	my ($times, $what) = @_;

	ok($node->poll_query_until('remote', "SELECT sum(idx_scan) >= $times FROM pg_stat_user_indexes"), "$what is searched");
}

# Asks a query: what is sent over has to be like $sent, and the answer nearly that of
# a sort of all rows.
sub ask
{
	my ($what, $query, $sent) = @_;
	my $plan = $node->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) $query");
	my @sorted = sort { $a <=> $b } my @found = split(/\n/, $node->safe_psql('postgres', $query));
	# no index of ours serves a sum
	(my $exactly = $query) =~ s/(\w <(->|=>|#>) '[^']*')( LIMIT)/($1) + 0$3/ or die $query;
	my @exact = split(/\n/, $node->safe_psql('postgres', $exactly));
	my $hits = grep { $_ <= $exact[-1] } @found;

	like($plan, $sent, "$what: what is sent");
	is("@found", "@sorted", "$what: sorted");
	is(scalar @found, scalar @exact, "$what: as many rows as there are");
	cmp_ok($hits, '>=', 0.8 * @exact, "$what: nearly all of the nearest");
	return $plan;
}

foreach my $method (qw(annoy ann_hnsw))
{
	my $before;

	$node->safe_psql('remote', "CREATE INDEX items_r ON items USING $method (r); CREATE INDEX items_d ON items USING $method (d double_cosine_ops); ANALYZE items");
	$node->safe_psql('postgres', "CREATE INDEX here_r ON parts_here USING $method (r)");

	$before = searches();
	ask("$method, <->", "SELECT r <-> $q FROM items ORDER BY r <-> $q LIMIT 10", qr/Remote SQL: .*ORDER BY .*<->.* LIMIT 10/);
	ask("$method, <=>", "SELECT d <=> $q FROM items ORDER BY d <=> $q LIMIT 20", qr/Remote SQL: .*ORDER BY .*<=>.* LIMIT 20/);
	ask("$method, filter", "SELECT r <-> $q FROM items WHERE tenth = 3 ORDER BY r <-> $q LIMIT 10",
		qr/Remote SQL: .*WHERE .*tenth = 3.* ORDER BY .*<->.* LIMIT 10/);
	searched($before + 3, "$method: the index there");

	# a range is decided there, whether or not by the index
	like($node->safe_psql('postgres', "EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM items WHERE r <-> $q < 0.4"),
		qr/Remote SQL: .*WHERE .*<->.* < /, "$method: a range is sent");
	is($node->safe_psql('postgres', "SELECT count(*) > 0, count(*) BETWEEN 0.9 * (SELECT count(*) FROM items WHERE (r <-> $q) + 0 < 0.5)
			AND (SELECT count(*) FROM items WHERE (r <-> $q) + 0 < 0.5) FROM items WHERE r <-> $q < 0.5"),
		't|t', "$method: and its rows");

	# a partition here and one there; how much is read of each is not known before
	$before = searches();
	my $plan = ask("$method, partitions", "SELECT r <-> $q FROM parts ORDER BY r <-> $q LIMIT 30", qr/Remote SQL: .*ORDER BY .*<->/);
	like($plan, qr/Merge Append.*Index Scan using here_r.*Foreign Scan on public\.parts_there/s, "$method: merged in order");
	searched($before + 1, "$method: the index of the partition there");
	is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM parts ORDER BY r <-> $q LIMIT 6000) s"),
		'6000|6000', "$method: many rows of both");

	# without the option nothing is sent but the request for the rows
	$node->safe_psql('postgres', 'ALTER SERVER there OPTIONS (DROP extensions)');
	ask("$method, not told", "SELECT r <-> $q FROM items ORDER BY r <-> $q LIMIT 10", qr/Remote SQL: (?!.*<->)/);
	$node->safe_psql('postgres', q{ALTER SERVER there OPTIONS (ADD extensions 'ann')});

	$node->safe_psql('remote', 'DROP INDEX items_r, items_d');
	$node->safe_psql('postgres', 'DROP INDEX here_r');
}

$node->stop;
done_testing();
