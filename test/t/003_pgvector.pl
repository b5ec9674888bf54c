# Both extensions in one database and one schema: neither takes the other's
# queries away, and no form of ours becomes ambiguous.  Skipped where pgvector is
# not installed.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('pgvector');
$node->init;
$node->start;
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'}) eq '0')
{
	$node->stop;
	plan skip_all => 'pgvector is not installed';
}

my @types = qw(real[] float8[] numeric[] integer[] bigint[] smallint[]);

# Everything that must hold, with the extensions created in the given order.
sub test_database
{
	my ($db, @extensions) = @_;
	my $order = join(', ', @extensions);

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, "CREATE EXTENSION $_") foreach @extensions;
	$node->safe_psql($db, q{
		CREATE TABLE items (id int, r real[], d float8[], v vector(2));
		INSERT INTO items VALUES (1, '{0,0}', '{0,0}', '[0,0]'), (2, '{3,4}', '{3,4}', '[3,4]');
	});

	foreach my $column (qw(r d))
	{
		foreach my $query ((map { "'{3,4}'::$_" } @types), "'{3,4}'", 'ARRAY[3, 4]', 'ARRAY[3.0, 4.0]')
		{
			is($node->safe_psql($db, "SELECT id, $column <-> $query, $query <=> $column, $column <#> $query
					FROM items ORDER BY $column <-> $query LIMIT 1"), '2|0|0|-25', "$order: $column <-> $query");
		}
		is($node->safe_psql($db, "PREPARE q AS SELECT id FROM items ORDER BY $column <-> \$1 LIMIT 1; EXECUTE q('{3,4}')"),
			2, "$order: $column <-> parameter");
		is($node->safe_psql($db, "SELECT l2_distance($column, '{0,0}'), cosine_distance($column, '{3,4}'),
				inner_product($column, '{1,1}'), l2_norm($column), l2_normalize($column) FROM items WHERE id = 2"),
			'5|0|7|5|{0.6,0.8}', "$order: functions on $column");
	}

	# pgvector's own forms resolve as they did
	is($node->safe_psql($db, "SELECT id, v <-> '[0,0]', v <=> '[3,4]', v <#> '[1,1]', l2_distance(v, '[0,0]'),
			inner_product(v, '[1,1]'), l2_normalize(v), v <-> v
			FROM items ORDER BY v <-> '[3,4]' LIMIT 1"), '2|5|0|-7|5|7|[0.6,0.8]|0', "$order: pgvector's operators");
	is($node->safe_psql($db, "PREPARE q AS SELECT id FROM items ORDER BY v <-> \$1 LIMIT 1; EXECUTE q('[3,4]')"),
		2, "$order: pgvector's operator with a parameter");
	is($node->safe_psql($db, "SELECT pg_typeof(v + v) FROM items LIMIT 1"), 'vector', "$order: vector stays vector");

	# a vector beside an array is cast to real[], by pgvector's implicit cast
	is($node->safe_psql($db, "SELECT v <-> r, r <-> v, v <-> ARRAY[3, 4], v <-> d FROM items WHERE id = 2"),
		'0|0|0|0', "$order: vector and array");
}

test_database('ours_first', 'ann', 'vector');
test_database('ours_last', 'vector', 'ann');

$node->stop;
done_testing();
