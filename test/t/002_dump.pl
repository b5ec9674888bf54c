# A dump of a database that uses the extension restores to the same answers, and
# a standby gives the same ones.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	CREATE TABLE items (id int PRIMARY KEY, vec real[] CHECK (cardinality(vec) = 3),
		norm double precision GENERATED ALWAYS AS (l2_norm(vec)) STORED);
	INSERT INTO items SELECT i, ARRAY[sin(i), cos(i), i / 100.0] FROM generate_series(1, 500) i;
	CREATE VIEW nearest AS
		SELECT id, norm, vec <-> ARRAY[0.1, 0.2, 0.3] AS distance FROM items
		ORDER BY vec <-> ARRAY[0.1, 0.2, 0.3], id LIMIT 20;
	CREATE INDEX ON items ((vec <#> '{1,1,1}'::real[]));
});
my $answer = $node->safe_psql('postgres', 'SELECT * FROM nearest');
is(scalar(split /\n/, $answer), 20, 'the view answers');

my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_dump', '--file', $dump, $node->connstr('postgres') ], 'dumped');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ],
	'restored');
is($node->safe_psql('restored', 'SELECT * FROM nearest'), $answer, 'the same answer after restoring');
unlike(slurp_file($dump), qr/CREATE (FUNCTION|OPERATOR)/, 'members of the extension are not dumped');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', "INSERT INTO items VALUES (1000, '{0.1,0.2,0.3}')");
$answer = $node->safe_psql('postgres', 'SELECT * FROM nearest');
like($answer, qr/^1000\|/, 'the new row is the nearest');
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
is($standby->safe_psql('postgres', 'SELECT * FROM nearest'), $answer, 'the same answer on a standby');

$standby->stop;
$node->stop;
done_testing();
