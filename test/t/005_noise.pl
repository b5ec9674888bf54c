# Pages of an index overwritten with noise: whoever reads them gets an error that
# says so, or an answer, but no crash and no endless loop; REINDEX repairs.
#
# Each index is damaged in one place, the server being down, and then scanned,
# inserted into, vacuumed and inspected.  ANN_NOISE is how many indexes are made
# of each of the four templates (25).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant BLOCK => 8192;
use constant HEADER => 24;
use constant TAIL => 16;

my $copies = $ENV{ANN_NOISE} || 25;
my $seed = $ENV{ANN_SEED} || 1;

# What perl's rand gives for a seed differs between versions of perl.
my $state = $seed;
sub random
{
	my ($below) = @_;
	$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	return int(($state >> 8) % $below);
}

sub noise
{
	my ($bytes) = @_;
	return join('', map { chr(random(256)) } 1 .. $bytes);
}

# Ways to spoil page $n of @$pages.
my %damage = (
	'noise' => sub { noise(BLOCK) },
	'noise in the body' => sub { my ($page) = @_; substr($page, HEADER, BLOCK - HEADER - TAIL) = noise(BLOCK - HEADER - TAIL); $page },
	'noise in the tail' => sub { my ($page) = @_; substr($page, BLOCK - TAIL, 14) = noise(14); $page },
	'ones in the body' => sub { my ($page) = @_; substr($page, HEADER, BLOCK - HEADER - TAIL) = "\xff" x (BLOCK - HEADER - TAIL); $page },
	'zeros in the body' => sub { my ($page) = @_; substr($page, HEADER, BLOCK - HEADER - TAIL) = "\0" x (BLOCK - HEADER - TAIL); $page },
	'zeros' => sub { "\0" x BLOCK },
	'another page' => sub { my ($page, $pages) = @_; $pages->[random(scalar @$pages)] },
	# links to pages that exist, back to where one came from among them
	'numbers' => sub {
		my ($page, $pages) = @_;
		foreach my $i (1 .. 40)
		{
			substr($page, HEADER + 4 * random((BLOCK - HEADER - TAIL) / 4), 4) = pack('L', random(@$pages + 2));
		}
		$page;
	},
	'a link' => sub { my ($page, $pages) = @_; substr($page, BLOCK - TAIL, 4) = pack('L', random(scalar @$pages)); $page },
	'used bytes' => sub { my ($page) = @_; substr($page, 12, 2) = pack('S', HEADER + random(BLOCK - HEADER - TAIL)); $page },
);

my $node = PostgreSQL::Test::Cluster->new('noise');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nignore_checksum_failure = on\nshared_buffers = 64MB\njit = off\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION ann;
	SELECT setseed(0.4);
	CREATE TABLE short AS SELECT id, (SELECT array_agg(random())::real[] FROM generate_series(1, 16) WHERE id > 0) AS vec FROM generate_series(1, 700) id;
	INSERT INTO short SELECT 700 + i, vec FROM short, generate_series(1, 30) i WHERE id = 5;
	INSERT INTO short SELECT 1000 + i, NULL FROM generate_series(1, 30) i;
	CREATE TABLE long AS SELECT id, (SELECT array_agg(random())::real[] FROM generate_series(1, 2500) WHERE id > 0) AS vec FROM generate_series(1, 60) id;
});
my %template = (
	short => { table => 'short', dim => 16, method => 'annoy', options => 'trees = 2' },
	long => { table => 'long', dim => 2500, method => 'annoy', options => 'trees = 2, scalar = f32' },
	linked => { table => 'short', dim => 16, method => 'ann_hnsw', options => 'm = 12' },
	long_linked => { table => 'long', dim => 2500, method => 'ann_hnsw', options => 'scalar = f32' });
my @indexes;
foreach my $template (sort keys %template)
{
	foreach my $i (1 .. $copies)
	{
		push @indexes, { table => "${template}_$i", template => $template };
		$node->safe_psql('postgres', "CREATE TABLE ${template}_$i AS TABLE $template{$template}->{table};
			CREATE INDEX ${template}_${i}_index ON ${template}_$i USING $template{$template}->{method} (vec) WITH ($template{$template}->{options})");
	}
}
foreach my $index (@indexes)
{
	$index->{path} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index->{table}_index')");
}

# Indexes whose free space map knows everything wrongly: it only hints.
my @mapped = map { { table => "mapped_$_", template => $_ } } sort keys %template;
foreach my $index (@mapped)
{
	my ($table, $template) = ($index->{table}, $template{ $index->{template} });
	$node->safe_psql('postgres', "CREATE TABLE $table AS TABLE $template->{table};
		CREATE INDEX ${table}_index ON $table USING $template->{method} (vec) WITH ($template->{options});
		DELETE FROM $table WHERE id % 3 = 0");
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $table");
	$index->{path} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${table}_index')");
}
# And indexes with what an interrupted join of leaves left behind.
my @joined = map { { table => "joined_$_", template => $_ } } qw(linked short);
foreach my $index (@joined)
{
	my ($table, $template) = ($index->{table}, $template{ $index->{template} });
	$node->safe_psql('postgres', "CREATE TABLE $table AS TABLE $template->{table};
		CREATE INDEX ${table}_index ON $table USING $template->{method} (vec) WITH ($template->{options})");
	$index->{path} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${table}_index')");
}
# And two indexes, of one method each, whose files change places.
my @swapped = map { { table => "swapped_$_", template => $_ } } qw(linked short);
foreach my $index (@swapped)
{
	my ($table, $template) = ($index->{table}, $template{ $index->{template} });
	$node->safe_psql('postgres', "CREATE TABLE $table AS TABLE $template->{table};
		CREATE INDEX ${table}_index ON $table USING $template->{method} (vec)");
	$index->{path} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${table}_index')");
}
$node->stop;
rename($swapped[0]->{path}, "$swapped[1]->{path}.other") or die;
rename($swapped[1]->{path}, $swapped[0]->{path}) or die;
rename("$swapped[1]->{path}.other", $swapped[1]->{path}) or die;

# The nodes of an index of 16 dimensions: what the kinds of all slots are.  With a
# number, the last free slot becomes a copy of the first one in use.
use constant NODE_KIND => 4;
use constant NODE_SIZE => 28 + 64;
sub nodes
{
	my ($path, $orphans) = @_;
	my @pages = unpack('(a' . BLOCK . ')*', slurp_file($path));
	my @kinds;

	foreach my $page (grep { unpack('C', substr($_, BLOCK - 4, 1)) == NODE_KIND } @pages)
	{
		my @at = map { HEADER + NODE_SIZE * $_ } 0 .. (BLOCK - HEADER - TAIL) / NODE_SIZE - 1;
		my @on_page = map { unpack('L', substr($page, $_, 4)) } @at;
		my ($used) = grep { $on_page[$_] != 0 } 0 .. $#at;
		my ($free) = grep { $on_page[$_] == 0 } reverse 0 .. $#at;

		substr($page, $at[$free], NODE_SIZE) = substr($page, $at[$used], NODE_SIZE) if $orphans-- > 0;
		push @kinds, map { unpack('L', substr($page, $_, 4)) } @at;
	}
	open(my $file, '>:raw', $path) or die "$path: $!";
	print $file join('', @pages);
	close($file);
	return scalar(grep { $_ != 0 } @kinds);
}
$_->{nodes} = nodes($_->{path}, 1) foreach @joined;

# A page of each kind in turn, so that the rare ones come about, too.
my %turn;
foreach my $index (@indexes)
{
	my @pages = unpack('(a' . BLOCK . ')*', slurp_file($index->{path}));
	my %of_kind;
	push @{ $of_kind{ unpack('C', substr($pages[$_], BLOCK - 4, 1)) } }, $_ foreach 0 .. $#pages;
	my @kinds = sort { $a <=> $b } keys %of_kind;
	my $kind = $kinds[ $turn{ $index->{template} }++ % @kinds ];
	my $n = $of_kind{$kind}->[random(scalar @{ $of_kind{$kind} })];
	my $way = (sort keys %damage)[random(scalar keys %damage)];
	$index->{name} = "$index->{table}: $way in block $n, of kind $kind";
	$pages[$n] = $damage{$way}->($pages[$n], \@pages);
	open(my $file, '>:raw', $index->{path}) or die "$index->{path}: $!";
	print $file join('', @pages);
	close($file);
}

# Room of any kind on every page of the map, and on many behind the end of the file.
foreach my $index (@mapped)
{
	my $map = slurp_file("$index->{path}_fsm");

	for (my $at = 0; $at < length($map); $at += BLOCK)
	{
		my $bytes = join('', map { chr((0, 33, 60, 200, 254, 255)[random(6)]) } 1 .. BLOCK - HEADER - 4);
		substr($map, $at + HEADER + 4, length($bytes)) = $bytes;
	}
	open(my $file, '>:raw', "$index->{path}_fsm") or die "$index->{path}_fsm: $!";
	print $file $map;
	close($file);
}

$node->start;
foreach my $index (@mapped)
{
	my ($table, $dim) = ($index->{table}, $template{ $index->{template} }->{dim});
	my ($rows, $equals) = $dim < 100 ? (500, 100) : (50, 20);

	is($node->safe_psql('postgres', qq{
			INSERT INTO $table SELECT -i, (SELECT array_agg(sin(i * j)) FROM generate_series(1, $dim) j) FROM generate_series(1, $rows) i;
			INSERT INTO $table SELECT -1000 - i, vec FROM $table, generate_series(1, $equals) i WHERE id IN (1, 2, -1);
			INSERT INTO $table SELECT -2000 - i, NULL FROM generate_series(1, $equals) i;
			SELECT * FROM ann_check('${table}_index', true) LIMIT 5}), '', "$table: a map of noise leads nobody astray");
}
foreach my $index (@joined)
{
	my $table = $index->{table};

	is($node->safe_psql('postgres', "SELECT * FROM ann_check('${table}_index', true)"), '', "$table: a lost node is no damage");
	$node->safe_psql('postgres', "DELETE FROM $table WHERE id = 3");
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $table");
	is($node->safe_psql('postgres', "SELECT * FROM ann_check('${table}_index', true)"), '', "$table: nor is anything after VACUUM");
}
foreach my $index (@swapped)
{
	my $table = $index->{table};
	my $vector = 'array_fill(0.5::real, ARRAY[16])';
	my ($rc, $out, $err) = $node->psql('postgres', qq{
			\\set VERBOSITY verbose
			SET enable_seqscan = off;
			SELECT id FROM $table ORDER BY vec <-> $vector LIMIT 1;
			INSERT INTO $table VALUES (-1, $vector);
			SELECT 'check: ' || problem FROM ann_check('${table}_index');
		}, on_error_stop => 0);

	is(scalar(() = $err =~ /XX002: index "${table}_index" has the metapage of an index of another method/g), 2,
		"$table: an index of the other method is noticed");
	like($out, qr/check: the method is [12], that of the index is [12]/, "$table: and found by ann_check");
}
foreach my $index (@indexes)
{
	my ($table, $dim) = ($index->{table}, $template{ $index->{template} }->{dim});
	my $original = $template{ $index->{template} }->{table};
	my $vector = "array_fill(0.5::real, ARRAY[$dim])";
	my ($out, $err) = ('', '');

	$node->psql('postgres', qq{
			\\set VERBOSITY verbose
			SET statement_timeout = '20s';
			SET enable_seqscan = off;
			SELECT count(*) FROM (SELECT id FROM $table ORDER BY vec <-> $vector LIMIT 5) s;
			SELECT count(*) FROM (SELECT id FROM $table ORDER BY vec <-> (SELECT vec FROM $table WHERE id = 7) LIMIT 20) s;
			SELECT count(*) FROM (SELECT id FROM $table ORDER BY vec <-> $vector) s;
			SELECT count(*) FROM (SELECT id FROM $table ORDER BY vec <-> NULL::real[]) s;
			INSERT INTO $table SELECT -i, (SELECT array_agg((i % 7 + j % 5) / 10.0) FROM generate_series(1, $dim) j) FROM generate_series(1, 40) i;
			INSERT INTO $table SELECT -i, (SELECT array_agg(sin(i * j)) FROM generate_series(1, $dim) j) FROM generate_series(41, 240) i WHERE $dim < 100;
			INSERT INTO $table VALUES (-241, NULL);
			DELETE FROM $table WHERE id % 3 = 0;
			VACUUM (INDEX_CLEANUP on) $table;
			SELECT count(*) FROM ann_index_info('${table}_index');
			SELECT count(*) FROM ann_chunks('${table}_index');
			SELECT count(*) FROM ann_check('${table}_index', true);
			SELECT 'end';
		}, stdout => \$out, stderr => \$err, on_error_stop => 0);
	my @bad = grep { !/^psql:\S+ ERROR:  (XX00[12]: |0A000: .* format version)/ } grep { /ERROR|FATAL|PANIC|connection/ } split /\n/, $err;
	ok($out =~ /end/ && !@bad, $index->{name}) or diag(substr(join("\n", @bad, $err), 0, 2000));
	last if $out !~ /end/ && !$node->poll_query_until('postgres', 'SELECT true');
	cmp_ok($node->safe_psql('postgres', "SELECT pg_relation_size('$table') - pg_relation_size('$original')"), '<', 200000,
		"$table: nothing was added to the table for a bad TID");
	is($node->safe_psql('postgres', qq{
			REINDEX INDEX ${table}_index;
			SET enable_seqscan = off;
			SELECT count(*) = (SELECT count(*) FROM $table) FROM (SELECT id FROM $table ORDER BY vec <-> $vector) s
				WHERE NOT EXISTS (SELECT FROM ann_check('${table}_index', true))}), 't', "$table: REINDEX repairs");
}
unlike(slurp_file($node->logfile), qr/terminated by signal|TRAP:|AddressSanitizer|runtime error/, 'no crash');
$node->stop;
cmp_ok(nodes($_->{path}, 0), '==', $_->{nodes} - 1, "$_->{table}: VACUUM has taken the lost node away") foreach @joined;
done_testing();
