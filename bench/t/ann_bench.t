#!/usr/bin/perl
#
# ann_bench without a server: generator, readers, ground truth, what it
# calculates, command line.  What needs a server is only reached here as far as
# its first complaint.
#
# ANN_BENCH names the program, beside which there is "calculate"; otherwise it is the one beside this directory,
# or one that is built for the occasion.

use strict;
use warnings;

use Digest::MD5;
use File::Temp qw(tempdir);
use FindBin;
use IO::Compress::Gzip qw(gzip);
use Test::More;

my $dir = tempdir(CLEANUP => 1);
my $bench = $ENV{ANN_BENCH} // "$FindBin::RealBin/../ann_bench";

if (!-x $bench || !-x calculator())
{
	system('make', '-s', '-C', "$FindBin::RealBin/..", "O=$dir/build") == 0
	  or BAIL_OUT('ann_bench does not build');
	$bench = "$dir/build/ann_bench";
}
$ENV{XDG_CACHE_HOME} = "$dir/cache";
delete @ENV{ grep { /^PG/ } keys %ENV };
$ENV{PGHOST} = $dir;    # no server there

# The program of our own functions' figures, beside ann_bench.
sub calculator { return $bench =~ s/[^\/]*\z/calculate/r }

# Run a program in the temporary directory: status, stdout, stderr.
sub run_program
{
	my ($program, @args) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		chdir $dir or die;
		open STDOUT, '>', 'stdout' or die;
		open STDERR, '>', 'stderr' or die;
		exec $program, @args or die;
	}
	waitpid $pid, 0;
	my $status = $? & 127 ? "signal $?" : $? >> 8;
	return ($status, slurp("$dir/stdout"), slurp("$dir/stderr"));
}

sub bench { return run_program($bench, @_) }

# What the calculator prints, without the last newline; its message when it fails.
sub calculate
{
	my ($status, $out, $err) = run_program(calculator(), @_);

	return $status == 0 ? $out =~ s/\n\z//r : $err;
}

sub slurp
{
	my ($path) = @_;

	open my $fh, '<:raw', $path or die "$path: $!";
	local $/;
	return scalar(<$fh>) // '';
}

sub spew
{
	my ($name, $content) = @_;

	open my $fh, '>:raw', "$dir/$name" or die "$name: $!";
	print $fh $content;
	close $fh or die;
	return;
}

sub gzipped
{
	my ($content) = @_;
	my $result;

	gzip(\$content, \$result) or die;
	return $result;
}

sub fvecs { return join '', map { pack 'l<f<*', scalar(@$_), @$_ } @_ }
sub bvecs { return join '', map { pack 'l<C*', scalar(@$_), @$_ } @_ }

# The rows of an .fvecs or .ivecs file.
sub rows_of
{
	my ($content, $template) = @_;
	my @rows;

	for (my $at = 0; $at < length $content;)
	{
		my $n = unpack 'l<', substr $content, $at, 4;
		push @rows, [ unpack "$template*", substr $content, $at + 4, 4 * $n ];
		$at += 4 + 4 * $n;
	}
	return @rows;
}

# ---- Generator ----------------------------------------------------------

my @generate = qw(generate --rows 3000 --dim 40 --queries 20 --seed 7);
my %checksum = (
	l2 => '796ba822b4132fd1795ad6041bb457b2',
	cosine => '667558639a30daa3faab227e74f1d901',
	ip => 'fe6ede9e9d10db06cd19691f03306587');

for my $metric (sort keys %checksum)
{
	my ($status, undef, $err) =
	  bench(@generate, '--metric', $metric, '--threads', 3, '--out', $metric);

	is("$status$err", '0', "generates $metric");
	is( Digest::MD5::md5_hex(slurp("$dir/$metric.base.fvecs") . slurp("$dir/$metric.query.fvecs")),
		$checksum{$metric}, "bytes for $metric are those of every machine");
}
bench(@generate, '--threads', 1, '--out', 'one');
ok(slurp("$dir/one.base.fvecs") eq slurp("$dir/l2.base.fvecs"), 'threads change nothing');
bench(qw(generate --rows 1000 --dim 40 --seed 7 --out short));
ok( slurp("$dir/short.base.fvecs") eq substr(slurp("$dir/l2.base.fvecs"), 0, 1000 * 164),
	'fewer rows are the first rows of more');
bench(qw(generate --rows 1000 --dim 40 --seed 8 --out other));
ok(slurp("$dir/short.base.fvecs") ne slurp("$dir/other.base.fvecs"), 'the seed matters');

my %times;
$times{ join ',', @$_ }++ for rows_of(slurp("$dir/l2.base.fvecs"), 'f<');
cmp_ok(3000 - keys %times, '>', 20, 'some rows are exact copies');
is(scalar(grep { $times{ join ',', @$_ } } rows_of(slurp("$dir/l2.query.fvecs"), 'f<')),
	0, 'queries are not rows');

# ---- Readers ------------------------------------------------------------

my @query = ([ 1, 2, 3 ]);
spew('query.fvecs', fvecs(@query));

my $good = fvecs([ 1, 2, 3 ], [ 4, 5, 6 ]);
my @bad = (
	[ 'empty.fvecs', '', 'holds no rows' ],
	[ 'cut.fvecs', substr($good, 0, 25), 'row 1: truncated: 5 of 12 bytes' ],
	[ 'head.fvecs', substr($good, 0, 18), '2 trailing bytes after row 0' ],
	[ 'tail.bvecs', bvecs([ 1, 2, 3 ]) . 'x', '1 trailing byte after row 0' ],
	[ 'zero.fvecs', pack('l<', 0), 'row 0: dimension 0 is not between 1 and 16000' ],
	[ 'minus.bvecs', pack('l<', -3), 'row 0: dimension -3 is not between 1 and 16000' ],
	[ 'wide.fvecs', pack('l<', 16001), 'row 0: dimension 16001 is not between 1 and 16000' ],
	[   'change.fvecs', $good . fvecs([ 1, 2 ]),
		'row 2: dimension 2 differs from the first row\'s 3' ],
	[ 'nan.fvecs', fvecs([ 1, 'nan', 3 ]), 'row 0: component 2 is not a finite number' ],
	[ 'inf.fvecs', fvecs([ 1, 2, '-inf' ]), 'row 0: component 3 is not a finite number' ],
	[   'text.txt', '1,2', 'unknown ending: expected .fvecs, .bvecs or .csv, each also with .gz' ],
	[   'truth.ivecs', $good,
		'unknown ending: expected .fvecs, .bvecs or .csv, each also with .gz' ],
	[ 'absent.fvecs', undef, 'No such file or directory' ],
	[ 'cut.fvecs.gz', substr(gzipped($good x 1000), 0, 60), qr/compressed data is damaged or cut/ ],
	[ 'empty.csv', '', 'holds no rows' ],
	[ 'head.csv', "id,vec\n", 'line 1: does not start with a whole number, the id' ],
	[ 'blank.csv', "1,\"{1,2,3}\"\n\n", 'line 2: does not start with a whole number, the id' ],
	[ 'quote.csv', "1,{1,2,3}\n", 'line 1: the id is not followed by ,"{' ],
	[ 'none.csv', "1,\"{}\"\n", 'line 1: the vector is empty' ],
	[ 'word.csv', "1,\"{1,x,3}\"\n", 'line 1: component 2 is not a number' ],
	[ 'null.csv', "1,\"{1,NULL,3}\"\n", 'line 1: component 2 is not a number' ],
	[ 'nan.csv', "1,\"{1,nan,3}\"\n", 'line 1: component 2 is not a finite number' ],
	[ 'big.csv', "1,\"{1,1e39,3}\"\n", 'line 1: component 2 is not a finite number' ],
	[   'open.csv', "1,\"{1,2,3\n",
		'line 1: component 3 is not followed by a comma, or by }" and the end of the line' ],
	[   'rest.csv', "1,\"{1,2,3}\",4\n",
		'line 1: component 3 is not followed by a comma, or by }" and the end of the line' ],
	[   'change.csv', "1,\"{1,2,3}\"\n2,\"{1,2}\"\n",
		'line 2: dimension 2 differs from the first row\'s 3' ],
	[ 'twice.csv', "7,\"{1,2,3}\"\n7,\"{1,2,4}\"\n", 'id 7 occurs twice' ],
	[ 'many.csv', '1,"{' . join(',', (1) x 16001) . "}\"\n", 'line 1: more than 16000 components' ],
	[ 'byte.csv', "1,\"{1,2,3}\"\0\n2,\"{1,2,3}\"\n", 'line 1: holds a zero byte' ],);

for my $case (@bad)
{
	my ($name, $content, $message) = @$case;

	spew($name, $content) if defined $content;
	my ($status, $out, $err) = bench('truth', '--data', $name, '--queries', 'query.fvecs');
	is("$status$out", '1', "$name is refused");
	if (ref $message)
	{
		like($err, qr/\Aann_bench: \Q$name\E: $message[^\n]*\n\z/, "$name: says why");
	}
	else
	{
		is($err, "ann_bench: $name: $message\n", "$name: says why");
	}
}

# ---- Ground truth -------------------------------------------------------

sub distance
{
	my ($metric, $x, $y) = @_;
	my ($sum, $xx, $yy) = (0, 0, 0);

	for my $i (0 .. $#$x)
	{
		if ($metric eq 'l2')
		{
			$sum += ($x->[$i] - $y->[$i])**2;
			next;
		}
		$sum += $x->[$i] * $y->[$i];
		$xx += $x->[$i]**2;
		$yy += $y->[$i]**2;
	}
	return sqrt $sum if $metric eq 'l2';
	return -$sum if $metric eq 'ip';
	return $xx * $yy == 0 ? 9**9**9 : 1 - $sum / sqrt($xx * $yy);
}

# The nearest k row numbers by a plain loop, ties by the smaller number.
sub naive
{
	my ($metric, $k, $query, @rows) = @_;
	my @d = map { distance($metric, $_, $query) } @rows;
	my @order = sort { $d[$a] <=> $d[$b] || $a <=> $b } 0 .. $#rows;

	return join ' ', @order[ 0 .. $k - 1 ];
}

# Compare ann_bench with the loop on rows and queries as ann_bench reads them.
sub same_truth
{
	my ($what, $k, $rows, $queries) = @_;

	spew('base.fvecs', fvecs(@$rows));
	spew('queries.fvecs', fvecs(@$queries));
	my @rows = rows_of(slurp("$dir/base.fvecs"), 'f<');
	my @queries = rows_of(slurp("$dir/queries.fvecs"), 'f<');

	for my $metric (qw(l2 cosine ip))
	{
		my ($status, undef, $err) = bench(qw(truth --data base.fvecs --queries queries.fvecs),
			'--k', $k, '--metric', $metric, '--out', 'found.ivecs');
		my @found = map { join ' ', @$_ } rows_of(slurp("$dir/found.ivecs"), 'l<');

		is($status . $err, '0', "truth: $what, $metric");
		is_deeply(\@found, [ map { naive($metric, $k, $_, @rows) } @queries ],
			"truth: $what, $metric: as the plain loop");
	}
	return;
}

my $state = 12345;

sub random_row
{
	my ($dim, $make) = @_;

	return [ map { $state = ($state * 1103515245 + 12345) % 2**31; $make->($state / 2**31) } 1 .. $dim ];
}

sub random_rows
{
	my ($n, $dim, $make) = @_;

	return [ map { random_row($dim, $make) } 1 .. $n ];
}

my @base = rows_of(slurp("$dir/l2.base.fvecs"), 'f<');
my @queries = rows_of(slurp("$dir/l2.query.fvecs"), 'f<');
same_truth('generated', 100, [ @base[ 0 .. 1002 ] ], [ @queries[ 0 .. 9 ] ]);
same_truth('many ties', 20, random_rows(203, 5, sub { int(3 * $_[0]) }),
	random_rows(40, 5, sub { int(3 * $_[0]) }));
same_truth('far from the origin', 20, random_rows(150, 33, sub { 10000 + $_[0] }),
	random_rows(5, 33, sub { 10000 + $_[0] }));
same_truth('squares overflow', 20, random_rows(150, 20, sub { 1e25 * ($_[0] - 0.5) }),
	random_rows(5, 20, sub { 1e25 * ($_[0] - 0.5) }));
same_truth('squares underflow', 20, random_rows(150, 20, sub { 1e-25 * ($_[0] - 0.5) }),
	random_rows(5, 20, sub { 1e-25 * ($_[0] - 0.5) }));
same_truth('fewer rows than four', 3, random_rows(3, 17, sub { $_[0] }),
	random_rows(2, 17, sub { $_[0] }));

# One set in every format gives one answer.
my $bytes = random_rows(300, 21, sub { int(256 * $_[0]) });
spew('q.bvecs', bvecs(@{ random_rows(20, 21, sub { int(256 * $_[0]) }) }));
spew('set.fvecs', fvecs(@$bytes));
spew('set.fvecs.gz', gzipped(fvecs(@$bytes)));
spew('set.bvecs', bvecs(@$bytes));
spew('set.bvecs.gz', gzipped(bvecs(@$bytes)));
my $csv = join '', map { (1000 - $_) . ',"{' . join(',', @{ $bytes->[$_] }) . "}\"\n" } 0 .. 299;
spew('set.csv', $csv);
spew('set.csv.gz', gzipped($csv =~ s/\n/\r\n/gr =~ s/\r\n\z//r));
bench(qw(truth --data set.fvecs --queries q.bvecs --out set.ivecs));
for my $name (qw(fvecs.gz bvecs bvecs.gz csv csv.gz))
{
	my ($status, $out, $err) =
	  bench('truth', '--data', "set.$name", qw(--queries q.bvecs --check set.ivecs));

	is("$status$err", '0', "set.$name is read");
	like($out, qr/nearest 100 of 20 queries agree/, "set.$name gives the same answer");
}

my @cached = qw(truth --data set.bvecs --queries q.bvecs --cache kept --check set.ivecs);
is((bench(@cached))[0], 0, 'truth is computed');
my ($cache) = glob "$dir/kept/*.truth";
ok(defined $cache, 'and cached');
my $content = slurp($cache);
is((bench(@cached))[0], 0, 'truth is taken from the cache');
truncate $cache, 1000;
is((bench(@cached))[0], 0, 'a damaged cache is not believed');
ok(slurp($cache) eq $content, 'and mended');

my $wrong = slurp("$dir/set.ivecs");
substr($wrong, 4 + 404, 4) = substr($wrong, 404 + 8, 4);
spew('wrong.ivecs', $wrong);
is( (bench(qw(truth --data set.bvecs --queries q.bvecs --check wrong.ivecs)))[2],
	"ann_bench: wrong.ivecs: the nearest 100 differ for 1 of 20 queries, first for query 1\n",
	'wrong truth is found out');

# ---- What is calculated -------------------------------------------------

# The fastest fixed setting that has a recall, of a ladder: ms, rungs.
my @fastest = (
	[ 'on a rung', '2 1 1', 0.9, '0.8:1', '0.9:2', '0.99:8' ],
	[ 'halfway between two, of the logarithm', '4 1 2', 0.85, '0.7:1', '0.8:2', '0.9:8' ],
	[ 'below the ladder', '1 -1 0', 0.5, '0.8:1', '0.9:2' ],
	[ 'above it', 'nan -1 -1', 0.95, '0.8:1', '0.9:2' ],
	[ 'a higher rung that is faster', '1 2 2', 0.85, '0.8:2', '0.9:4', '0.95:1' ],
	[ 'two rungs of one recall', '2 1 1', 0.9, '0.8:1', '0.9:2', '0.9:5' ],
	[ 'a ladder from the top', '4 1 2', 0.85, '0.95:20', '0.9:8', '0.8:2' ],
	[ 'one rung', '3 -1 0', 0.9, '0.9:3' ],);

for my $case (@fastest)
{
	my ($what, $expected, @words) = @$case;

	is(calculate('fastest', @words), $expected, "fastest: $what");
}

# A radius with so many rows in it: the radius, the rows.
my @radius = (
	[ 'in the middle', '2.5 2', 2, 1, 2, 3, 4 ],
	[ 'equal distances', '3 3', 2, 1, 2, 2, 4 ],
	[ 'below zero', '-2.5 2', 2, -4, -3, -2, -1 ],
	[ 'none farther', '2.000000003 2', 2, 1, 2 ],
	[ 'none farther, of equal ones', '2.000000003 3', 2, 1, 2, 2 ],
	[ 'more than there are', '2.000000003 2', 5, 1, 2 ],);

for my $case (@radius)
{
	my ($what, $expected, @words) = @$case;

	is(calculate('radius', @words), $expected, "radius: $what");
}

is(calculate(qw(percentile 0.5 3 1 2)), 2, 'the median');
is(calculate(qw(percentile 0.5 4 1 3 2)), 2, 'of an even number, the lower one');
is(calculate(qw(percentile 0.99 3 1 2)), 3, 'p99 of few');

is(calculate(qw(numbers 0 1), '.8,.9,.99'), '0.8 0.9 0.99', 'a list');
is(calculate(qw(integers 1 100 10)), '10', 'a list of one');
like(calculate(qw(numbers 0 1), '.8,2'), qr/list "2" is not a number from 0 to 1/, 'too large');
like(calculate(qw(numbers 0 1), '.8,'), qr/list "" is not a number/, 'nothing after a comma');
like(calculate(qw(numbers 0 1), ''), qr/list "" is not a number/, 'nothing at all');
like(calculate(qw(integers 1 100), '1,2.5'), qr/"1,2.5": 2.5 is not a whole number/, 'a fraction');
like(calculate(qw(integers 1 100 1;2)), qr/list "1;2" is not a number/, 'not a comma');

my @marks = split /\n/, calculate(qw(marks 1000001));
is($marks[0], 0, 'the first row meets every condition');
is($marks[1000000], 0, 'marks begin anew after a million rows');
is(scalar keys %{ { map { $_ => 1 } @marks } }, 1000000, 'which have all of them');
is(scalar(grep { $_ < 0 || $_ >= 1000000 } @marks), 0, 'and no others');
my $among = grep { $_ < 10000 } @marks[ 0 .. 99999 ];
cmp_ok(abs($among - 1000), '<', 20, 'a condition is met as often by the first rows');

is( calculate(qw(grid 3 a), 'b c', 'd', 'x', '1.5', '-', 'a "b"', '10', 'y,z'),
	join("\n",
		'a      b c  d', 'x      1.5  -', 'a "b"   10  y,z',
		'data,a,b_c,d', '"x","x",1.5,', '"x","a ""b""",10,"y,z"'),
	'a table, and as CSV');

# ---- Command line -------------------------------------------------------

my @usage = (
	[ [], qr/\Ausage: / ],
	[ ['fly'], qr/unknown command "fly"/ ],
	[ [qw(truth --wings 2)], qr/--wings: unknown option/ ],
	[ [qw(truth --table t)], qr/truth does not take --table/ ],
	[ [qw(truth --data set.bvecs)], qr/truth needs --queries/ ],
	[ [qw(truth --data gen:rows=ten)], qr/rows "ten" is not a whole number from 1/ ],
	[ [qw(truth --data gen:colour=red)], qr/unknown name "colour"/ ],
	[ [qw(truth --metric l1)], qr/unknown metric "l1"/ ],
	[ [qw(run --data set.bvecs)], qr/run needs --index/ ],
	[ [ 'run', '--index', 'a: hnsw' ], qr/method "a": expected "USING ..." or "exact"/ ],
	[ [ 'run', '--index', 'a' ], qr/method "a": expected "NAME: USING/ ],
	[   [ 'run', '--index', 'a: USING x (vec); p=1,2; q=1,2' ],
		qr/method "a": both p and q have a list/ ],
	[ [ 'run', '--index', 'a: USING x (vec); p' ], qr/"p" is not setting=value/ ],
	[ [qw(run --index exact --k), '1,2'], qr/run takes one number for --k/ ],
	[ [qw(run --index exact --k ten)], qr/--k "ten" is not a number from 1/ ],
	[ [qw(run --index exact --k 1.5)], qr/--k "1.5": 1.5 is not a whole number/ ],
	[ [qw(run --clients), '1,0'], qr/--clients "0" is not a number from 1 to 10000/ ],
	[ [qw(run --clients), '1,2,3,4,5,6,7,8,9'], qr/--clients takes at most 8 numbers/ ],
	[ [qw(run --targets .9)], qr/run does not take --targets/ ],
	[ [qw(target --data set.bvecs)], qr/target needs --index/ ],
	[ [ 'target', '--index', 'exact' ], qr/method "exact": this takes only methods with an index/ ],
	[   [ 'target', '--index', 'a: USING x (vec); p=1' ],
		qr/method "a": no setting has a list of values to compare with/ ],
	[ [qw(target --targets), '.9,high'], qr/--targets "high" is not a number from 0/ ],
	[ [qw(range --ids-only)], qr/range does not take --ids-only/ ],
	[ [qw(range --index exact)], qr/method "exact": this takes only methods with an index/ ],
	[ [qw(filter --shares), '0,1'], qr/--shares "0" is not a number from 1e-06 to 1/ ],
	[ [qw(filter --truth t.ivecs)], qr/filter does not take --truth/ ],
	[ [ 'filter', '--index', 'a: USING x (vec)', '--k', '1,2' ], qr/filter takes one number for --k/ ],
	[ [qw(load set.bvecs)], qr/load needs --table/ ],
	[ [qw(load --table t)], qr/load needs a file/ ],
	[ [qw(load --table t a b)], qr/one word too many: b/ ],);

for my $case (@usage)
{
	my ($args, $message) = @$case;
	my ($status, $out, $err) = bench(@$args);

	is("$status$out", '2', "status 2: @$args");
	like($err, $message, 'and why');
}
is((bench('--help'))[0], 0, '--help');

my ($status, undef, $err) = bench(qw(load --table t set.bvecs));
is($status, 1, 'no server: status 1');
like($err, qr/\Aann_bench: [^\n]+\n\z/, 'no server: one line');

done_testing();
