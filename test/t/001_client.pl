# Queries whose vector comes as a parameter, in text and in binary, of each type
# that a driver may send.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bind = 'test/client/bind';
my $node = PostgreSQL::Test::Cluster->new('client');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	CREATE TABLE items (id int, r real[], d double precision[]);
	INSERT INTO items SELECT i, ARRAY[i, i % 7, 1], ARRAY[i, i % 7, 1] FROM generate_series(1, 100) i;
});
my $conninfo = $node->connstr('postgres');

# (42, 0, 1) is row 42; its neighbours are one step away in the first element
# and one in the second.
foreach my $type (qw(untyped real double integer bigint smallint))
{
	foreach my $format (qw(text binary))
	{
		foreach my $column (qw(r d))
		{
			# an untyped parameter takes the type of the column, so that its
			# bytes must be those of real
			next if $type eq 'untyped' && $format eq 'binary' && $column eq 'd';

			my ($out, $err);
			run_log([ $bind, $conninfo, $type, $format,
					"SELECT id FROM items ORDER BY $column <-> \$1 LIMIT 2", 42, 0, 1 ],
				'>', \$out, '2>', \$err);
			is($out . $err, "42\n43\n", "$type parameter in $format on column $column");
		}
	}
}

# what is wrong with a parameter is said when it is used
my ($out, $err);
run_log([ $bind, $conninfo, 'real', 'binary', 'SELECT id FROM items ORDER BY r <-> $1', 1, 2 ],
	'>', \$out, '2>', \$err);
like($err, qr/vectors of [32] and [32] dimensions have no distance/, 'a parameter of another length is refused');

# a prepared statement, as pgbench sends it, from several clients
$node->pgbench('-n -M prepared -c 4 -j 2 -t 50', 0,
	[qr{processed: 200/200}], [qr{^$}], 'prepared statements of several clients',
	{ '001_client_nearest' => q{
		\set i random(1, 93)
		SELECT 1 / (id = :i)::int FROM
			(SELECT id FROM items ORDER BY r <-> ARRAY[:i, mod(:i, 7), 1] LIMIT 1) nearest;
	} });

$node->stop;
done_testing();
