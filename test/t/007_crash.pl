# Nothing is lost when a server ends in the middle of its work, whichever way: by
# kill -9 of all processes at ANN_CRASHES random moments (6), when a standby takes
# over, and when an archive is recovered to a moment within a VACUUM.  Every time
# each index has to find every committed row once, and answer in order.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Churn;

my $crashes = $ENV{ANN_CRASHES} // 6;
my $seed = $ENV{ANN_SEED} // 1;

# The generator of perl is not the same everywhere.
sub chance
{
	$seed = ($seed * 1103515245 + 12345) % 2147483648;
	return ($seed >> 8) / 8388608;
}

my $conf = q{
fsync = off
autovacuum = off
jit = off
max_wal_size = 32MB
min_wal_size = 32MB
shared_buffers = 4MB
log_error_verbosity = verbose
};

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init(allows_streaming => 1, has_archiving => 1);
$node->append_conf('postgresql.conf', $conf);
$node->start;
Churn::setup($node, $seed);
Churn::check($node, 'at the start');

for my $i (1 .. $crashes)
{
	my $run = Churn::start($node, 4, 60, int(1e6 * chance()), 1);
	my $until = 0.3 + 2.5 * chance();

	# a checkpoint in the middle of some
	select(undef, undef, undef, $until / 2);
	$node->safe_psql('postgres', 'CHECKPOINT') if $i % 3 == 0;
	select(undef, undef, undef, $until / 2);
	Churn::kill_all($node);
	is(Churn::finish($run, 1), '', "crash $i: no error before");
	$node->start;
	Churn::check($node, "crash $i");
}

# a standby, whose pages are compared with those of its primary at each record
$node->append_conf('postgresql.conf', "wal_consistency_checking = 'all'");
$node->restart;
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'archive_mode = off');
$standby->start;
my $run = Churn::start($node, 4, 60, 4711, 1);
sleep(4);
# ... which answers meanwhile
for my $i (1 .. 5)
{
	is($standby->safe_psql('postgres', 'SELECT search(number) FROM lives ORDER BY number'), "\n" x $#Churn::TABLES, "search $i on the standby");
}
Churn::kill_all($node);
is(Churn::finish($run, 1), '', 'no error before the standby took over');
$standby->promote;
Churn::check($standby, 'on the promoted standby');
$run = Churn::start($standby, 4, 2, 4712, 1);
is(Churn::finish($run), '', 'it works on');
Churn::check($standby, 'after that');
Churn::check_log($standby);
$standby->stop('fast');

# to moments within a VACUUM, while others write
$node->append_conf('postgresql.conf', "wal_consistency_checking = ''");
$node->start;
$node->safe_psql('postgres', q{
	INSERT INTO f16 (vec) SELECT vector(0) FROM generate_series(1, 6000);
	INSERT INTO hnsw_f16 (vec) SELECT vector(0) FROM generate_series(1, 2000);
});
$node->backup('archived');
$node->safe_psql('postgres', "DELETE FROM $_ WHERE mod(hashint4(id), 3) <> 0") foreach qw(f16 hnsw_f16);
my @moments = ([ 'f16', 'vacuuming indexes', 'bulkdelete' ], [ 'f16', 'cleaning up indexes', 'cleanup' ],
	[ 'hnsw_f16', 'cleaning up indexes', 'mending' ]);
$run = Churn::start($node, 2, 60, 4713, 0);
my %vacuum;
foreach my $moment (@moments)
{
	my ($table, $phase, $point) = @$moment;
	my ($out, $err);

	$vacuum{$table} //= IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'),
			'-c', 'SET vacuum_cost_delay = 10', '-c', 'SET vacuum_cost_limit = 20', '-c', "VACUUM (INDEX_CLEANUP on) $table" ],
		'<', \undef, '>', \$out, '2>', \$err);
	my $at = "SELECT phase = '$phase' FROM pg_stat_progress_vacuum WHERE relid = '$table'::regclass";
	$node->poll_query_until('postgres', $at);
	select(undef, undef, undef, 0.2);
	is($node->safe_psql('postgres', $at), 't', "a moment within VACUUM of $table: $phase");
	# the commit of a write brings it to the disk
	$node->safe_psql('postgres', "SELECT pg_create_restore_point('$point'); CREATE TABLE ${point}_reached ()");
}
Churn::kill_all($node);
foreach my $vacuum (values %vacuum)
{
	eval { IPC::Run::finish($vacuum) };
}
is(Churn::finish($run, 1), '', 'no error while VACUUM ran');
$node->start;
Churn::check($node, 'after a crash within VACUUM');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->poll_query_until('postgres', 'SELECT last_archived_wal IS NOT NULL AND pg_walfile_name(pg_current_wal_lsn() - 1) > last_archived_wal
	AND NOT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name ~ \'ready$\') FROM pg_stat_archiver');
foreach my $point (map { $_->[2] } @moments)
{
	my $recovered = PostgreSQL::Test::Cluster->new("recovered_$point");

	$recovered->init_from_backup($node, 'archived', has_restoring => 1);
	$recovered->append_conf('postgresql.conf', "recovery_target_name = '$point'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
	$recovered->start;
	$recovered->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	like(slurp_file($recovered->logfile), qr/recovery stopping at restore point "$point"/, "recovered to $point");
	Churn::check($recovered, "recovered to $point");
	$recovered->safe_psql('postgres', join(';', map { "VACUUM $_" } @Churn::TABLES));
	Churn::check($recovered, "and after VACUUM");
	Churn::check_log($recovered);
	$recovered->stop('fast');
}
Churn::check_log($node);
$node->stop('fast');
done_testing();
