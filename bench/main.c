/*
 * main.c
 *	  The command line of ann_bench.
 *
 * One parser for the options of all commands; a command names those it takes
 * and has a function that puts the other files to work.  A new option is a
 * field of Arguments, an OPT_ number, a line in long_options, a case, and a
 * word in the lists of the commands that take it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "generate.h"
#include "load.h"
#include "modes.h"
#include "run.h"

#define DEFAULT_TRUTH_K 100

static const char usage_text[] =
"usage: ann_bench COMMAND [OPTION...]\n"
"\n"
"  load --table T [--type TYPE] [--limit N] [--replace] [--db CONNINFO] FILE\n"
"      create table T (id bigint, vec TYPE) and fill it from FILE\n"
"\n"
"  generate --rows N --dim D [--queries Q] [--metric M] [--seed S] --out PREFIX\n"
"      write PREFIX.base.fvecs and PREFIX.query.fvecs\n"
"\n"
"  truth --data SOURCE --queries SOURCE [--metric M] [--k K] [--out FILE.ivecs]\n"
"        [--check FILE.ivecs]\n"
"      compute the exact nearest rows; write them, or compare with FILE\n"
"\n"
"  run --data SOURCE [--queries SOURCE] --index METHOD [--index METHOD...]\n"
"        [--metric M] [--k K] [--type TYPE] [--set NAME=VALUE...] [--truth FILE.ivecs]\n"
"        [--clients N,N...] [--seconds S] [--rounds N] [--csv FILE] [--keep]\n"
"        [--ids-only] [--pin] [--parallel-workers N] [--verbose] [--db CONNINFO]\n"
"      build and measure each METHOD:\n"
"        'NAME[TYPE]: USING am (vec opclass) WITH (...); setting=v1,v2,...; other=v'\n"
"        'NAME[TYPE]: exact'\n"
"\n"
"  target --data ... --index METHOD... [--k K,K...] [--targets R,R...]\n"
"        [--target-setting NAME]\n"
"      set NAME (ann.target_recall) to each R: the recall got, and what it would cost\n"
"      with the best fixed setting of METHOD's list\n"
"  limit --data ... --index METHOD... [--k K,K...]\n"
"      the rows of each LIMIT\n"
"  range --data ... --index METHOD... [--k K,K...]\n"
"      all rows in a radius that has K, by index and by scan\n"
"  filter --data ... --index METHOD... [--k K] [--shares S,S...]\n"
"      the nearest rows of those, a share S, that meet a condition, by each plan\n"
"      These take the options of run, but --clients.\n"
"\n"
"SOURCE is a file or gen:rows=N,dim=D,metric=M,seed=S,queries=Q.  Files end in\n"
".fvecs, .bvecs or .csv, each also with .gz.  TYPE is real (the default), double,\n"
"vector or halfvec; M is l2 (the default), cosine or ip.\n"
"Also for truth, run and the like: --limit N (rows), --limit-queries N, --cache DIR,\n"
"--threads N.  The connection is libpq's: PGHOST, PGDATABASE and so on.\n";

/* All options of all commands; each command says which it takes. */
typedef struct Arguments
{
	const char *cache;
	const char *check;
	NumberList	clients;
	const char *csv;
	const char *data;
	const char *db;
	int64_t		dim;
	const char **indexes;
	int			nindexes;
	NumberList	ks;				/* n = 0: not given */
	bool		keep;
	int64_t		limit;
	int64_t		limit_queries;
	Metric		metric;
	const char *out;
	bool		ids_only;
	int			parallel_workers;	/* -1: not given */
	bool		pin;
	const char *queries;
	bool		replace;
	int			rounds;
	int64_t		rows;
	double		seconds;
	uint64_t	seed;
	Assignment *settings;
	int			nsettings;
	NumberList	shares;
	const char *table;
	NumberList	targets;
	const char *target_setting;
	int			threads;
	const char *truth;
	const char *type;
	bool		verbose;
	const char *file;			/* what follows the options */
} Arguments;

enum
{
	OPT_CACHE = 'A', OPT_CHECK, OPT_CLIENTS, OPT_CSV, OPT_DATA, OPT_DB, OPT_DIM,
	OPT_IDS_ONLY, OPT_INDEX,
	OPT_K, OPT_KEEP, OPT_LIMIT, OPT_LIMIT_QUERIES, OPT_METRIC, OPT_OUT,
	OPT_PARALLEL_WORKERS, OPT_PIN,
	OPT_QUERIES, OPT_REPLACE, OPT_ROUNDS, OPT_ROWS, OPT_SECONDS, OPT_SEED, OPT_SET, OPT_SHARES,
	OPT_TABLE, OPT_TARGETS, OPT_TARGET_SETTING, OPT_THREADS, OPT_TRUTH, OPT_TYPE, OPT_VERBOSE
};

static const struct option long_options[] = {
	{"cache", required_argument, NULL, OPT_CACHE},
	{"check", required_argument, NULL, OPT_CHECK},
	{"clients", required_argument, NULL, OPT_CLIENTS},
	{"csv", required_argument, NULL, OPT_CSV},
	{"data", required_argument, NULL, OPT_DATA},
	{"db", required_argument, NULL, OPT_DB},
	{"dim", required_argument, NULL, OPT_DIM},
	{"ids-only", no_argument, NULL, OPT_IDS_ONLY},
	{"index", required_argument, NULL, OPT_INDEX},
	{"k", required_argument, NULL, OPT_K},
	{"keep", no_argument, NULL, OPT_KEEP},
	{"limit", required_argument, NULL, OPT_LIMIT},
	{"limit-queries", required_argument, NULL, OPT_LIMIT_QUERIES},
	{"metric", required_argument, NULL, OPT_METRIC},
	{"out", required_argument, NULL, OPT_OUT},
	{"parallel-workers", required_argument, NULL, OPT_PARALLEL_WORKERS},
	{"pin", no_argument, NULL, OPT_PIN},
	{"queries", required_argument, NULL, OPT_QUERIES},
	{"replace", no_argument, NULL, OPT_REPLACE},
	{"rounds", required_argument, NULL, OPT_ROUNDS},
	{"rows", required_argument, NULL, OPT_ROWS},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"seed", required_argument, NULL, OPT_SEED},
	{"set", required_argument, NULL, OPT_SET},
	{"shares", required_argument, NULL, OPT_SHARES},
	{"table", required_argument, NULL, OPT_TABLE},
	{"target-setting", required_argument, NULL, OPT_TARGET_SETTING},
	{"targets", required_argument, NULL, OPT_TARGETS},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"truth", required_argument, NULL, OPT_TRUTH},
	{"type", required_argument, NULL, OPT_TYPE},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{NULL, 0, NULL, 0}
};

static NumberList
parse_clients(const char *text)
{
	NumberList	clients = parse_integers("--clients", text, 1, 10000);

	if (clients.n > MAX_CLIENT_COUNTS)
		usage_error("--clients takes at most %d numbers", MAX_CLIENT_COUNTS);
	return clients;
}

/* Store one option's value; judging it further is up to the command. */
static void
parse_option(Arguments *args, int option)
{
	switch (option)
	{
		case OPT_CACHE: args->cache = optarg; break;
		case OPT_CHECK: args->check = optarg; break;
		case OPT_CLIENTS: args->clients = parse_clients(optarg); break;
		case OPT_CSV: args->csv = optarg; break;
		case OPT_DATA: args->data = optarg; break;
		case OPT_DB: args->db = optarg; break;
		case OPT_DIM: args->dim = parse_integer("--dim", optarg, 1, BENCH_MAX_DIM); break;
		case OPT_IDS_ONLY: args->ids_only = true; break;
		case OPT_K: args->ks = parse_integers("--k", optarg, 1, 100000); break;
		case OPT_KEEP: args->keep = true; break;
		case OPT_LIMIT: args->limit = parse_integer("--limit", optarg, 1, INT64_MAX); break;
		case OPT_LIMIT_QUERIES:
			args->limit_queries = parse_integer("--limit-queries", optarg, 1, INT64_MAX);
			break;
		case OPT_METRIC: args->metric = parse_metric(optarg); break;
		case OPT_OUT: args->out = optarg; break;
		case OPT_PARALLEL_WORKERS:
			args->parallel_workers = (int) parse_integer("--parallel-workers", optarg, 0, 1024);
			break;
		case OPT_PIN: args->pin = true; break;
		case OPT_QUERIES: args->queries = optarg; break;
		case OPT_REPLACE: args->replace = true; break;
		case OPT_ROUNDS: args->rounds = (int) parse_integer("--rounds", optarg, 1, 1000); break;
		case OPT_ROWS: args->rows = parse_integer("--rows", optarg, 1, INT32_MAX); break;
		case OPT_SECONDS: args->seconds = parse_number("--seconds", optarg, 0.01, 3600); break;
		case OPT_SEED:
			args->seed = (uint64_t) parse_integer("--seed", optarg, 0, INT64_MAX);
			break;
		case OPT_INDEX:
			args->indexes = xrealloc(args->indexes, (size_t) args->nindexes + 1, sizeof(char *));
			args->indexes[args->nindexes++] = optarg;
			break;
		case OPT_SET:
			args->settings = xrealloc(args->settings, (size_t) args->nsettings + 1,
									  sizeof(Assignment));
			args->settings[args->nsettings++] = parse_assignment(optarg);
			break;
		case OPT_SHARES: args->shares = parse_numbers("--shares", optarg, 1e-6, 1); break;
		case OPT_TABLE: args->table = optarg; break;
		case OPT_TARGETS: args->targets = parse_numbers("--targets", optarg, 0, 1e9); break;
		case OPT_TARGET_SETTING: args->target_setting = optarg; break;
		case OPT_THREADS:
			args->threads = (int) parse_integer("--threads", optarg, 1, 1024);
			break;
		case OPT_TRUTH: args->truth = optarg; break;
		case OPT_TYPE: args->type = optarg; break;
		case OPT_VERBOSE: args->verbose = true; break;
	}
}

/*
 * Parse a command's options: those named in 'allowed', which has blanks around
 * each.  One word may follow them.
 */
static Arguments
parse_arguments(int argc, char **argv, const char *allowed)
{
	Arguments	args = {.clients = parse_clients("1,2"), .parallel_workers = -1, .rounds = 3,
		.seconds = 3, .seed = 1, .target_setting = "ann.target_recall",
		.threads = cpu_count(), .type = "real"};
	int			option;
	int			index = 0;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1)
	{
		char	   *word;

		if (option == '?')
			usage_error("%s: unknown option, or its value is missing", argv[optind - 1]);
		word = xprintf(" %s ", long_options[index].name);
		if (strstr(allowed, word) == NULL)
			usage_error("%s does not take --%s", argv[0], long_options[index].name);
		free(word);
		parse_option(&args, option);
	}
	if (optind < argc)
		args.file = argv[optind++];
	if (optind < argc)
		usage_error("%s: one word too many: %s", argv[0], argv[optind]);
	return args;
}

/* Complain unless something that a command cannot do without was given. */
static void
require(const char *command, const char *name, bool given)
{
	if (!given)
		usage_error("%s needs %s", command, name);
}

/* --k of a command that takes one number only. */
static int
one_k(const char *command, const Arguments *args, int unless_given)
{
	if (args->ks.n > 1)
		usage_error("%s takes one number for --k", command);
	return args->ks.n == 1 ? (int) args->ks.values[0] : unless_given;
}

/* A list that was given, or else the default. */
static NumberList
list_or(NumberList given, const char *unless_given)
{
	return given.n > 0 ? given : parse_numbers("default", unless_given, 0, 1e9);
}

/* Fill a table from a file. */
static void
command_load(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, " table type limit replace db ");
	PGconn	   *conn;
	char	   *found;
	int64_t		rows;

	require("load", "--table", args.table != NULL);
	require("load", "a file", args.file != NULL);
	vectors_close(vectors_open(args.file));	/* complain before connecting */
	conn = db_connect(args.db);
	db_execute(conn, "SET client_min_messages = warning");
	found = db_value(conn, "SELECT to_regclass($name$%s$name$)", args.table);
	if (found != NULL && !args.replace)
		fail("table %s exists; --replace drops it first", args.table);
	db_execute(conn, "BEGIN");
	db_execute(conn, "DROP TABLE IF EXISTS %s", args.table);
	rows = load_file(conn, args.table, args.type, args.file, args.limit);
	db_execute(conn, "COMMIT");
	load_vacuum(conn, args.table);
	PQfinish(conn);
	printf("%lld rows from %s in table %s\n", (long long) rows, args.file, args.table);
}

/* Write the generator's rows and queries as files. */
static void
command_generate(int argc, char **argv)
{
	Arguments	args;
	GeneratorSpec spec;

	/* Here --queries is a number, not a source. */
	args = parse_arguments(argc, argv, " rows dim queries metric seed out threads ");
	require("generate", "--rows", args.rows != 0);
	require("generate", "--dim", args.dim != 0);
	require("generate", "--out", args.out != NULL);
	spec.rows = args.rows;
	spec.dim = (int) args.dim;
	spec.queries = args.queries == NULL ? 1000 :
		parse_integer("--queries", args.queries, 1, INT32_MAX);
	spec.metric = args.metric;
	spec.seed = args.seed;
	vectors_write(xprintf("%s.base.fvecs", args.out),
				  generate_vectors(&spec, STREAM_ROWS, args.threads));
	vectors_write(xprintf("%s.query.fvecs", args.out),
				  generate_vectors(&spec, STREAM_QUERIES, args.threads));
}

/* Rows or queries of a source: a file's, or the generator's. */
static VectorSet *
read_source(const Arguments *args, const char *source, GeneratorStream stream, int64_t limit)
{
	GeneratorSpec spec = generate_defaults();
	VectorSet  *set;

	if (!generate_is_spec(source))
		return vectors_read(source, limit);
	spec.metric = args->metric;
	spec = generate_parse(source, spec);
	set = generate_vectors(&spec, stream, args->threads);
	vectors_truncate(set, limit);
	return set;
}

/* --data and --queries, which a generated source has of its own. */
static void
read_sources(const char *command, const Arguments *args, VectorSet **data, VectorSet **queries)
{
	const char *source = args->queries;

	require(command, "--data", args->data != NULL);
	if (source == NULL && generate_is_spec(args->data))
		source = args->data;
	require(command, "--queries", source != NULL);
	*data = read_source(args, args->data, STREAM_ROWS, args->limit);
	*queries = read_source(args, source, STREAM_QUERIES, args->limit_queries);
	if ((*data)->dim != (*queries)->dim)
		fail("%s: dimension %d differs from that of %s, %d", (*queries)->name,
			 (*queries)->dim, (*data)->name, (*data)->dim);
}

/* Compare with ground truth from elsewhere, row by row and in order. */
static void
check_truth(const Truth *truth, const char *path)
{
	const Neighbours *theirs = ivecs_read(path);
	int			k = truth->found.k < theirs->k ? truth->found.k : theirs->k;
	int64_t		different = 0;
	int64_t		first = -1;

	if (theirs->queries < truth->found.queries)
		fail("%s: %lld rows for %lld queries", path, (long long) theirs->queries,
			 (long long) truth->found.queries);
	for (int64_t q = 0; q < truth->found.queries; q++)
	{
		if (memcmp(truth->found.rows + q * truth->found.k, theirs->rows + q * theirs->k,
				   (size_t) k * sizeof(int32_t)) == 0)
			continue;
		different++;
		first = first < 0 ? q : first;
	}
	if (different > 0)
		fail("%s: the nearest %d differ for %lld of %lld queries, first for query %lld", path, k,
			 (long long) different, (long long) truth->found.queries, (long long) first);
	printf("the nearest %d of %lld queries agree with %s\n", k,
		   (long long) truth->found.queries, path);
}

/* Compute ground truth; nothing is cached unless a directory is named. */
static void
command_truth(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, " data queries metric k out check limit "
									   "limit-queries threads cache ");
	int			k = one_k("truth", &args, DEFAULT_TRUTH_K);
	VectorSet  *data;
	VectorSet  *queries;
	Truth	   *truth;
	double		start;

	read_sources("truth", &args, &data, &queries);
	start = now_seconds();
	if (args.cache != NULL)
		truth = truth_cached(args.cache, data, queries, args.metric, k, args.threads);
	else
		truth = truth_compute(data, queries, args.metric, k, args.threads);
	printf("%lld rows, %d dimensions, %lld queries, %s: nearest %d in %.2f s",
		   (long long) data->rows, data->dim, (long long) queries->rows,
		   metric_name(args.metric), truth->found.k, now_seconds() - start);
	if (truth_intrinsic_dimension(truth) > 0)
		printf(", intrinsic dimension %.1f", truth_intrinsic_dimension(truth));
	printf("\n");
	if (args.out != NULL)
		ivecs_write(args.out, &truth->found);
	if (args.check != NULL)
		check_truth(truth, args.check);
}

/* Options of all commands that build indexes and measure. */
#define MEASURE_OPTIONS \
	" data queries index metric k type set seconds rounds csv keep pin verbose db limit " \
	"limit-queries cache threads parallel-workers "

/* What these have in common, but the data. */
static RunOptions
measure_options(const char *command, const Arguments *args)
{
	RunOptions	run = {.rounds = args->rounds, .seconds = args->seconds, .keep = args->keep,
		.parallel_workers = args->parallel_workers, .pin = args->pin,
	.verbose = args->verbose, .csv = args->csv};

	require(command, "--index", args->nindexes > 0);
	run.nmethods = args->nindexes;
	run.methods = xalloc((size_t) args->nindexes, sizeof(Method *));
	for (int i = 0; i < args->nindexes; i++)
		run.methods[i] = method_parse(args->indexes[i], args->type);
	run.base = (SessionBase) {args->db, args->settings, args->nsettings, args->metric,
		args->ids_only};
	return run;
}

/*
 * Read the data.  Everything that can be found wrong with the command line has
 * been; now see whether there is a server, before anything slow.
 */
static VectorSet *
measure_data(const char *command, const Arguments *args, RunOptions *run)
{
	VectorSet  *data;
	VectorSet  *queries;

	PQfinish(db_connect(args->db));
	read_sources(command, args, &data, &queries);
	run->data = data;
	run->queries = queries;
	return data;
}

/* Provide the exact nearest k rows, and 'more' of them where they are computed. */
static void
measure_truth(const Arguments *args, RunOptions *run, int k, int more)
{
	if (args->truth != NULL)
		run->truth = truth_read(args->truth, run->data, run->queries, args->metric, k);
	else
		run->truth = truth_cached(args->cache, run->data, run->queries, args->metric,
								  k + more > DEFAULT_TRUTH_K ? k + more : DEFAULT_TRUTH_K,
								  args->threads);
}

/* Recall, latency, throughput and size of each method at each setting. */
static void
command_run(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, MEASURE_OPTIONS "truth ids-only clients ");
	RunOptions	run = measure_options("run", &args);
	int			k = one_k("run", &args, 10);

	run.floor = k;
	measure_data("run", &args, &run);
	measure_truth(&args, &run, k, 0);
	run_methods(&run, k, args.clients);
}

/* The recall that is asked for, and got. */
static void
command_target(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, MEASURE_OPTIONS
									   "truth ids-only targets target-setting ");
	RunOptions	run = measure_options("target", &args);
	NumberList	ks = list_or(args.ks, "10,100");

	require_indexes(&run);
	require_ladders(&run);
	measure_data("target", &args, &run);
	measure_truth(&args, &run, (int) numbers_largest(ks), 0);
	target_run(&run, args.target_setting, list_or(args.targets, ".8,.9,.95,.99"), ks);
}

/* The rows of each LIMIT. */
static void
command_limit(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, MEASURE_OPTIONS "truth ids-only ");
	RunOptions	run = measure_options("limit", &args);
	NumberList	limits = list_or(args.ks, "1,10,100,1000");

	measure_data("limit", &args, &run);
	measure_truth(&args, &run, (int) numbers_largest(limits), 0);
	limit_run(&run, limits);
}

/*
 * Rows in a radius.  It ends before the next row, which must be known, and equal
 * distances are in it together, so that there may be more.
 */
static void
command_range(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, MEASURE_OPTIONS "truth ");
	RunOptions	run = measure_options("range", &args);
	NumberList	counts = list_or(args.ks, "10,100,1000");

	require_indexes(&run);
	measure_data("range", &args, &run);
	measure_truth(&args, &run, (int) numbers_largest(counts) + 1, DEFAULT_TRUTH_K);
	range_run(&run, counts);
}

/* Rows that meet a condition, for which there are exact answers of their own. */
static void
command_filter(int argc, char **argv)
{
	Arguments	args = parse_arguments(argc, argv, MEASURE_OPTIONS "ids-only shares ");
	RunOptions	run = measure_options("filter", &args);
	int			k = one_k("filter", &args, 10);

	require_indexes(&run);
	filter_mark(measure_data("filter", &args, &run));
	filter_run(&run, k, list_or(args.shares, ".00001,.0001,.001,.01,.1,1"), args.cache,
			   args.threads);
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		void		(*run) (int argc, char **argv);
	}			commands[] = {
		{"load", command_load},
		{"generate", command_generate},
		{"truth", command_truth},
		{"run", command_run},
		{"target", command_target},
		{"limit", command_limit},
		{"range", command_range},
		{"filter", command_filter},
	};

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
	{
		fputs(usage_text, stdout);
		return 0;
	}
	if (argc < 2)
	{
		fputs(usage_text, stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (strcmp(argv[1], commands[i].name) == 0)
		{
			commands[i].run(argc - 1, argv + 1);
			return 0;
		}
	}
	usage_error("unknown command \"%s\": expected load, generate, truth, run, target, "
				"limit, range or filter", argv[1]);
}
