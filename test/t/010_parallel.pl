# Builds by several processes: that there are some, that none, no file and no shared
# memory is left of one that is cancelled at whatever moment or killed, and that files
# do where there is not enough memory, or none that they can share.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seed = $ENV{ANN_SEED} // 10;
my $moments = $ENV{ANN_MOMENTS} // 25;
srand($seed);
note "seed $seed";

my $node = PostgreSQL::Test::Cluster->new('parallel');
$node->init(extra => ['--wal-segsize=1']);
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
jit = off
restart_after_crash = on
log_min_messages = debug1
client_min_messages = warning
max_parallel_maintenance_workers = 2
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	SELECT setseed(0.6);
	CREATE TABLE points (id int, vec real[]) WITH (fillfactor = 20);
	INSERT INTO points SELECT id, (SELECT array_agg(random())::real[] FROM generate_series(1, 32) WHERE id > 0) AS vec FROM generate_series(1, 20000) id;
	INSERT INTO points SELECT 20000 + i, NULL FROM generate_series(1, 100) i;
	ALTER TABLE points SET (parallel_workers = 2);
	VACUUM ANALYZE points;
	-- the pid of the leader, or of a worker, of a build when it is in a phase; none if
	-- the phase is over too soon
	CREATE FUNCTION wait_for_phase(wanted text, whom text) RETURNS integer LANGUAGE plpgsql AS $$
	DECLARE
		result integer;
	BEGIN
		FOR i IN 1..100000 LOOP
			PERFORM pg_stat_clear_snapshot();
			SELECT CASE whom WHEN 'leader' THEN p.pid ELSE a.pid END INTO result
			FROM pg_stat_progress_create_index p JOIN pg_stat_activity a ON a.leader_pid = p.pid
			WHERE p.phase ~ wanted LIMIT 1;
			EXIT WHEN result IS NOT NULL OR (i > 2000 AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index));
			PERFORM pg_sleep(0.0005);
		END LOOP;
		RETURN result;
	END $$;
	-- how many of the ten nearest of some rows are found
	CREATE FUNCTION hits(OUT hits bigint) LANGUAGE plpgsql AS $$
	DECLARE
		q real[];
		n bigint;
	BEGIN
		SET LOCAL enable_seqscan = off;
		SET LOCAL ann.search_k = 6000;
		SET LOCAL ann.target_recall = 0.999;
		hits := 0;
		FOR q IN SELECT vec FROM points WHERE id % 500 = 1 LOOP
			SELECT count(*) INTO n FROM (SELECT vec <-> q AS x FROM points ORDER BY vec <-> q LIMIT 10) s
			WHERE x <= (SELECT max(x) FROM (SELECT (vec <-> q) + 0 AS x FROM points ORDER BY 1 LIMIT 10) s);
			hits := hits + n;
		END LOOP;
	END $$;
});

# Large segments of shared memory; there may be others' on this machine.
sub segments
{
	return grep { -s $_ > 2 * 1024 * 1024 } glob('/dev/shm/PostgreSQL.*');
}

sub leftovers
{
	my ($before) = @_;
	my %before = map { $_ => 1 } @$before;
	my @left = (grep({ !$before{$_} } segments()), glob($node->data_dir . '/base/pgsql_tmp/*'));

	push @left, $node->safe_psql('postgres', q{
		SELECT backend_type FROM pg_stat_activity WHERE backend_type = 'parallel worker'
		UNION ALL SELECT relname FROM pg_class WHERE relname = 'built'});
	return join(' ', grep { $_ ne '' } @left);
}

# Build, and return how long it took and the log's new lines.
sub build
{
	my ($method, $settings, $with) = @_;
	my $offset = -s $node->logfile;
	my $start = time;

	$node->safe_psql('postgres', "$settings; CREATE INDEX built ON points USING $method (vec) " . ($with // ''));
	return (time - $start, slurp_file($node->logfile, $offset));
}

my @before = segments();
my %seconds;
my %hits;

foreach my $method ('annoy', 'ann_hnsw')
{
	my ($alone) = build($method, 'SET max_parallel_maintenance_workers = 0');
	my $hits = $node->safe_psql('postgres', 'SELECT hits() FROM points LIMIT 1');

	$hits{$method} = $hits;
	$node->safe_psql('postgres', 'DROP INDEX built');
	my ($seconds, $log) = build($method, 'SELECT 1');
	$seconds{$method} = $seconds;
	like($log, qr/index "built" is built by 3 processes/, "$method: by 3 processes");
	foreach my $phase ('scanning table', 'building', 'writing')
	{
		like($log, qr/index "built": $phase took \d/, "$method: the log tells how long $phase took");
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM ann_check('built', true)}), 0, "$method: the index is sound");
	cmp_ok(abs($node->safe_psql('postgres', 'SELECT hits() FROM points LIMIT 1') - $hits), '<=', 8, "$method: and as good as that of one process");
	$node->safe_psql('postgres', 'DROP INDEX built');
	is(leftovers(\@before), '', "$method: nothing but the index is left of the build");
}

# several chunks, of which each process takes one after the other
foreach my $method ('annoy', 'ann_hnsw')
{
	my (undef, $log) = build($method, 'SELECT 1', 'WITH (chunk_blocks = 1024)');

	like($log, qr/index "built" is built by [23] processes/, "$method: chunks by several processes");
	is($node->safe_psql('postgres', q{SELECT chunks FROM ann_index_info('built')}), 3, "$method: three of them");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM ann_check('built', true)}), 0, "$method: the index of chunks is sound");
	cmp_ok($node->safe_psql('postgres', 'SELECT hits() FROM points LIMIT 1'), '>=', $hits{$method} - 8, "$method: and as good as that of one");
	$node->safe_psql('postgres', 'DROP INDEX built');
	is(leftovers(\@before), '', "$method: nothing but the index is left of its build");
}

# cancelled at some moment; every other one is of chunks
foreach my $method ('annoy', 'ann_hnsw')
{
	my ($cancelled, $late, $left) = (0, '', '');

	foreach my $i (1 .. $moments)
	{
		my $timeout = 1 + int(rand($seconds{$method} * 1000));
		my $with = $i % 2 == 0 ? 'WITH (chunk_blocks = 1024)' : '';
		my $start = time;
		my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '${timeout}ms'; CREATE INDEX built ON points USING $method (vec) $with");
		my $took = int((time - $start) * 1000);

		$cancelled += $err =~ /canceling statement due to statement timeout/;
		$late .= " $timeout:$took" if $took > $timeout + 1000;
		$node->safe_psql('postgres', 'DROP INDEX built') if $rc == 0;
		my $found = leftovers(\@before);
		$left .= " $timeout: $found" if $found ne '';
	}
	cmp_ok($cancelled, '>', $moments / 3, "$method: of $moments builds, $cancelled are cancelled");
	is($late, '', "$method: each within a second");
	is($left, '', "$method: nothing is left of them");
}

# no space, in temporary files or in the index: a limit on the size of files, which
# new processes have from the postmaster, stands in for a full disk
SKIP:
{
	skip('prlimit is not installed', 8) if system('prlimit --version >/dev/null 2>&1') != 0;
	my $postmaster = (split(/\n/, slurp_file($node->data_dir . '/postmaster.pid')))[0];

	# segments of WAL must fit; and without shared memory, which is files as well
	foreach my $case ([ 'annoy', 'temp_file_limit', '128kB', 4_000_000 ], [ 'annoy', 'maintenance_work_mem', '2MB', 2_500_000 ],
		[ 'ann_hnsw', 'temp_file_limit', '128kB', 4_000_000 ], [ 'ann_hnsw', 'maintenance_work_mem', '8MB', 8_000_000 ])
	{
		my ($method, $setting, $value, $bytes) = @$case;
		my $full = $setting eq 'temp_file_limit' ? qr/temporary file size exceeds/ : qr/could not (extend|write)/;

		system('prlimit', '--pid', $postmaster, "--fsize=$bytes:unlimited");
		my ($rc, $out, $err) = $node->psql('postgres', "SET $setting = '$value'; CREATE INDEX built ON points USING $method (vec)");
		system('prlimit', '--pid', $postmaster, '--fsize=unlimited:unlimited');
		like($err, $full, "$method, $setting: no space");
		is(leftovers(\@before), '', "$method, $setting: nothing is left of it");
	}
}

# Kill one of the processes while the build is in some phase.
sub kill_one
{
	my ($method, $memory, $phase, $whom) = @_;
	my ($pid, $out, $err) = ('', '', '');
	my $wait = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT wait_for_phase('$phase', '$whom')" ], '<', \undef, '>', \$pid);

	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^SELECT wait_for_phase'});
	my $build = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'),
		'-c', "SET maintenance_work_mem = '$memory'", '-c', "CREATE INDEX built ON points USING $method (vec)" ], '<', \undef, '>', \$out, '2>', \$err);

	$wait->pump while $wait->pumpable && $pid !~ /\n/;
	chomp($pid);

	# PostgreSQL does not know a segment of shared memory before it has its size, which
	# takes a moment when rows begin to be divided: what is killed in it, leaves it
	usleep(20_000) if $phase eq 'dividing';
	my $killed = $pid =~ /^\d+$/ && kill('KILL', $pid);
	$wait->finish;
	$build->finish;
	return $killed && $err =~ /server closed the connection|terminating connection/;
}

foreach my $case ([ 'annoy', '64MB', 'scanning', 'building' ], [ 'annoy', '2MB', 'dividing', 'building' ],
	[ 'ann_hnsw', '64MB', 'scanning', 'building', 'linking', 'writing' ], [ 'ann_hnsw', '8MB', 'dividing', 'building' ])
{
	my ($method, $memory, @phases) = @$case;

	foreach my $phase (@phases)
	{
		foreach my $whom ('worker', 'leader')
		{
			my $killed = 0;

			for (my $try = 0; $try < 20 && !$killed; $try++)
			{
				$killed = kill_one($method, $memory, $phase, $whom);
				$node->poll_query_until('postgres', 'SELECT true');
				$node->safe_psql('postgres', 'DROP INDEX IF EXISTS built');
			}
			ok($killed, "$method, $memory: a $whom is killed while $phase");
			is(leftovers(\@before), '', "$method, $memory: nothing is left after recovery");
		}
	}
}

# not enough memory, or none to share: files in its place
foreach my $case ([ '2MB', '8MB', 'maintenance_work_mem has room for \d+ of its vectors' ], [ '64MB', '64MB', 'Its workers cannot share \d+ MB' ])
{
	my %memory = (annoy => $case->[0], ann_hnsw => $case->[1]);
	my $detail = $case->[2];

	if ($memory{annoy} eq '64MB')
	{
		$node->append_conf('postgresql.conf', 'dynamic_shared_memory_type = mmap');
		$node->restart;
	}
	foreach my $method ('annoy', 'ann_hnsw')
	{
		my $memory = $memory{$method};
		my (undef, $log) = build($method, "SET client_min_messages = notice; SET maintenance_work_mem = '$memory'");

		like($log, qr/$detail/, "$method, $memory: through files");
		like($log, qr/index "built": dividing took \d/, "$method, $memory: rows are divided");
		is($node->safe_psql('postgres', q{SELECT count(*) FROM ann_check('built', true)}), 0, "$method, $memory: the index is sound");
		cmp_ok($node->safe_psql('postgres', 'SELECT hits() FROM points LIMIT 1'), '>=', $hits{$method} - 40, "$method, $memory: and nearly as good");
		$node->safe_psql('postgres', 'DROP INDEX built');
		is(leftovers(\@before), '', "$method, $memory: nothing else is left");
	}
}
$node->stop;
done_testing();
