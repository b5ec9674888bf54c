/*
 * generate.c
 *	  Seeded vectors that are as hard to search as real ones.
 *
 * A row is made in four steps:
 *
 *	1  draw a cluster, by sizes that fall like 1/rank^(3/4)
 *	2  draw a point z of the latent space around the cluster's centre; each
 *	   cluster has its own spread and its own widths along the latent axes
 *	3  x = A softsign(B z + b): a random two-layer net bends the latent space
 *	   into a surface in 'dim' dimensions, some of which matter more than others
 *	4  add noise to every dimension; for cosine and ip, change the norm
 *
 * and a few rows are instead copies, exact or slightly disturbed, of an
 * earlier row.  Queries come from the same steps and are never copies.
 *
 * LATENT_DIM and the widths are chosen so that the intrinsic dimension which a
 * search feels (maximum likelihood over 100 neighbours, printed by the truth
 * command) is about 23, the same for any 'dim' above LATENT_DIM and within the
 * 15 to 40 of image descriptors, word vectors and embeddings.  A graph index
 * with 16 links and a candidate list of 40 then finds 91 to 95 % of the ten
 * nearest among 100,000 rows; the fewer, the easier (20,000 rows: 93 to 97 %).
 * Half the latent dimensions, or clusters further apart, made that 99 %;
 * uniform noise would be harder, but no index is good at it and no data looks
 * like it.
 *
 * Row i depends on the seed and i alone: more rows extend a smaller set, and
 * the number of threads changes nothing.  Only operations that IEEE 754
 * rounds exactly are used (no pow, exp or sin), in a fixed order, and the
 * Makefile turns off contraction: the bytes are equal on every machine.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

#define LATENT_DIM		48
#define HIDDEN_DIM		96		/* multiple of LANES */
#define CLUSTERS		400
#define FAMILIES		40		/* clusters gather in families */
#define COPY_PERCENT	2		/* exact copies of an earlier row */
#define NEAR_PERCENT	4		/* copies with a small disturbance */
#define NOISE			0.03f	/* of a dimension's typical size, which is 1 */
#define DISTURBANCE		0.02f
#define CHUNK_ROWS		1024	/* rows a thread takes at a time */

typedef struct Cluster
{
	float		centre[LATENT_DIM];
	float		width[LATENT_DIM];
	double		upto;			/* summed share of this and earlier clusters */
} Cluster;

typedef struct Generator
{
	/* Unchanging once set up. */
	const GeneratorSpec *spec;
	GeneratorStream stream;
	Cluster    *clusters;
	float	   *inner;			/* LATENT_DIM rows of HIDDEN_DIM: B */
	float	   *bias;			/* HIDDEN_DIM: b */
	float	   *outer;			/* HIDDEN_DIM rows of padded_dim: A */
	int			padded_dim;		/* dim rounded up to LANES */

	/* Work left. */
	VectorSet  *set;
	int64_t		next_row;		/* taken atomically */
} Generator;

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t
next_random(uint64_t *state)
{
	uint64_t	z = (*state += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

/* An independent state for each purpose and number. */
static uint64_t
random_state(uint64_t seed, uint64_t purpose, uint64_t number)
{
	uint64_t	state = seed;

	state = next_random(&state) ^ purpose;
	state = next_random(&state) ^ number;
	return next_random(&state);
}

/* Uniform in [0, 1). */
static double
next_uniform(uint64_t *state)
{
	return (double) (next_random(state) >> 11) * 0x1p-53;
}

/*
 * Nearly normal, variance 1: the sum of the four 16-bit parts of one random
 * number.  Exact integer arithmetic; tails end at 3.46, which is enough here.
 */
static float
next_normal(uint64_t *state)
{
	uint64_t	r = next_random(state);
	int32_t		sum = (int32_t) ((r & 0xFFFF) + (r >> 16 & 0xFFFF) +
								 (r >> 32 & 0xFFFF) + (r >> 48));

	return (float) (sum - 131070) * (1.0f / 37837.23f);
}

bool
generate_is_spec(const char *source)
{
	return strncmp(source, "gen:", 4) == 0;
}

GeneratorSpec
generate_defaults(void)
{
	return (GeneratorSpec) {100000, 1000, 128, METRIC_L2, 1};
}

/* Parse gen:name=value,...; what is not named stays as in 'defaults'. */
GeneratorSpec
generate_parse(const char *source, GeneratorSpec defaults)
{
	GeneratorSpec spec = defaults;
	char	   *copy = xstrdup(source + strlen("gen:"));
	char	   *rest = copy;
	char	   *item;

	while ((item = strsep(&rest, ",")) != NULL)
	{
		char	   *value = strchr(item, '=');

		if (value == NULL)
			usage_error("%s: \"%s\" is not name=value", source, item);
		*value++ = '\0';
		if (strcmp(item, "rows") == 0)
			spec.rows = parse_integer("rows", value, 1, INT32_MAX);
		else if (strcmp(item, "queries") == 0)
			spec.queries = parse_integer("queries", value, 1, INT32_MAX);
		else if (strcmp(item, "dim") == 0)
			spec.dim = (int) parse_integer("dim", value, 1, BENCH_MAX_DIM);
		else if (strcmp(item, "metric") == 0)
			spec.metric = parse_metric(value);
		else if (strcmp(item, "seed") == 0)
			spec.seed = (uint64_t) parse_integer("seed", value, 0, INT64_MAX);
		else
			usage_error("%s: unknown name \"%s\": expected rows, queries, dim, metric or seed",
						source, item);
	}
	free(copy);
	return spec;
}

/*
 * A cluster's centre lies near its family's.  Its width varies by 2.4, and
 * along each latent axis by 1.7 more: in 48 dimensions that is a density which
 * varies by many orders of magnitude, and clusters whose edges meet.
 */
static void
draw_cluster(Cluster *cluster, uint64_t seed, int number)
{
	uint64_t	state = random_state(seed, 'c', (uint64_t) number);
	uint64_t	family = random_state(seed, 'f', next_random(&state) % FAMILIES);
	double		u = next_uniform(&state);
	float		spread = (float) (0.5 + 0.7 * u * u);

	for (int i = 0; i < LATENT_DIM; i++)
	{
		float		axis = (float) (0.6 + 0.4 * next_uniform(&state));

		cluster->centre[i] = 0.2f * next_normal(&family) + 0.25f * next_normal(&state);
		cluster->width[i] = spread * axis;
	}
}

static Cluster *
draw_clusters(uint64_t seed)
{
	Cluster    *clusters = xalloc(CLUSTERS, sizeof(Cluster));
	double		total = 0;

	for (int i = 0; i < CLUSTERS; i++)
	{
		double		rank = i + 1;

		draw_cluster(&clusters[i], seed, i);
		total += 1 / sqrt(rank * sqrt(rank));
		clusters[i].upto = total;
	}
	for (int i = 0; i < CLUSTERS; i++)
		clusters[i].upto /= total;
	return clusters;
}

/* The two layers of the net that bends the latent space. */
static void
draw_net(Generator *gen)
{
	uint64_t	state = random_state(gen->spec->seed, 'n', 0);
	float	   *inner = xalloc(LATENT_DIM * HIDDEN_DIM, sizeof(float));
	float	   *bias = xalloc(HIDDEN_DIM, sizeof(float));
	float	   *outer = xalloc((size_t) HIDDEN_DIM * (size_t) gen->padded_dim, sizeof(float));
	float	   *weight = xalloc((size_t) gen->spec->dim, sizeof(float));

	for (int i = 0; i < LATENT_DIM * HIDDEN_DIM; i++)
		inner[i] = next_normal(&state) * 0.15f;
	for (int i = 0; i < HIDDEN_DIM; i++)
		bias[i] = next_normal(&state) * 0.5f;
	for (int d = 0; d < gen->spec->dim; d++)
		weight[d] = (float) (0.3 + 1.4 * next_uniform(&state)) * 0.2f;
	for (int h = 0; h < HIDDEN_DIM; h++)
	{
		for (int d = 0; d < gen->spec->dim; d++)
			outer[h * gen->padded_dim + d] = next_normal(&state) * weight[d];
	}
	free(weight);
	gen->inner = inner;
	gen->bias = bias;
	gen->outer = outer;
}

/* Binary search in the summed shares. */
static const Cluster *
pick_cluster(const Generator *gen, uint64_t *state)
{
	double		u = next_uniform(state);
	int			low = 0;
	int			high = CLUSTERS - 1;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (gen->clusters[mid].upto <= u)
			low = mid + 1;
		else
			high = mid;
	}
	return &gen->clusters[low];
}

/* sums[] += factors[] * rows, over n inputs and 'width' outputs. */
BENCH_CLONES
static void
add_products(float *sums, const float *factors, const float *rows, int n, int width)
{
	for (int o = 0; o < width; o += LANES)
	{
		FloatLanes	sum = *(const FloatLanes *) (sums + o);

		for (int i = 0; i < n; i++)
			sum += *(const FloatLanes *) (rows + (size_t) i * (size_t) width + o) * factors[i];
		*(FloatLanes *) (sums + o) = sum;
	}
}

/*
 * Unequal norms.  Cosine distance should not see them, so they differ twofold
 * on top of what they differ by nature.  Under inner product they are within
 * 10 %: a few much longer rows would be nearest to every query, and easy prey.
 */
static void
change_norm(const GeneratorSpec *spec, uint64_t *state, float *row)
{
	float		u = (float) next_uniform(state);
	float		factor = 0.7f + 0.8f * u * u;

	if (spec->metric == METRIC_IP)
	{
		float		sum = 0;

		for (int d = 0; d < spec->dim; d++)
			sum += row[d] * row[d];
		factor = (1 + 0.1f * u * u) / sqrtf(sum);
	}
	for (int d = 0; d < spec->dim; d++)
		row[d] *= factor;
}

/* Draw an original row into 'out', which has room for padded_dim. */
static void
draw_row(const Generator *gen, uint64_t number, float *out)
{
	uint64_t	state = random_state(gen->spec->seed, gen->stream == STREAM_ROWS ? 'r' : 'q',
									 number);
	const Cluster *cluster = pick_cluster(gen, &state);
	float		latent[LATENT_DIM];
	float		hidden[HIDDEN_DIM];

	for (int i = 0; i < LATENT_DIM; i++)
		latent[i] = cluster->centre[i] + cluster->width[i] * next_normal(&state);
	memcpy(hidden, gen->bias, sizeof(hidden));
	add_products(hidden, latent, gen->inner, LATENT_DIM, HIDDEN_DIM);
	for (int i = 0; i < HIDDEN_DIM; i++)
		hidden[i] /= sqrtf(1 + hidden[i] * hidden[i]);
	memset(out, 0, (size_t) gen->padded_dim * sizeof(float));
	add_products(out, hidden, gen->outer, HIDDEN_DIM, gen->padded_dim);

	for (int d = 0; d < gen->spec->dim; d++)
		out[d] += NOISE * next_normal(&state);
	if (gen->spec->metric != METRIC_L2)
		change_norm(gen->spec, &state, out);
}

/*
 * Write row 'number' to 'out'.  A copy goes back to an original, preferring
 * early ones, so that a few rows have many copies.
 */
static void
make_row(const Generator *gen, uint64_t number, float *out)
{
	uint64_t	original = number;
	bool		near = false;

	while (gen->stream == STREAM_ROWS && original > 0)
	{
		uint64_t	state = random_state(gen->spec->seed, 'd', original);
		uint64_t	kind = next_random(&state) % 100;
		double		u = next_uniform(&state);

		if (kind >= COPY_PERCENT + NEAR_PERCENT)
			break;
		near = near || kind >= COPY_PERCENT;
		original = (uint64_t) (u * u * u * (double) original);
	}
	draw_row(gen, original, out);
	if (near)
	{
		uint64_t	state = random_state(gen->spec->seed, 'e', number);

		for (int d = 0; d < gen->spec->dim; d++)
			out[d] += DISTURBANCE * next_normal(&state);
	}
}

/* A thread: take chunks of rows until there are none left. */
static void
generate_work(void *arg, int thread)
{
	Generator  *gen = arg;
	VectorSet  *set = gen->set;
	float	   *row = xalloc((size_t) gen->padded_dim, sizeof(float));
	int64_t		first;

	(void) thread;
	while ((first = __atomic_fetch_add(&gen->next_row, CHUNK_ROWS, __ATOMIC_RELAXED)) < set->rows)
	{
		int64_t		end = first + CHUNK_ROWS < set->rows ? first + CHUNK_ROWS : set->rows;

		for (int64_t i = first; i < end; i++)
		{
			make_row(gen, (uint64_t) i, row);
			memcpy(set->values + i * set->dim, row, (size_t) set->dim * sizeof(float));
		}
	}
	free(row);
}

/* Make a whole set: the spec's rows, or its queries. */
VectorSet *
generate_vectors(const GeneratorSpec *spec, GeneratorStream stream, int threads)
{
	VectorSet  *set = xalloc(1, sizeof(VectorSet));
	Generator	gen = {.spec = spec, .stream = stream, .set = set};

	set->name = xprintf("gen:rows=%lld,queries=%lld,dim=%d,metric=%s,seed=%llu",
						(long long) spec->rows, (long long) spec->queries, spec->dim,
						metric_name(spec->metric), (unsigned long long) spec->seed);
	set->rows = stream == STREAM_ROWS ? spec->rows : spec->queries;
	set->dim = spec->dim;
	set->values = xalloc((size_t) set->rows * (size_t) set->dim, sizeof(float));

	gen.padded_dim = (spec->dim + LANES - 1) / LANES * LANES;
	gen.clusters = draw_clusters(spec->seed);
	draw_net(&gen);
	run_threads(threads, generate_work, &gen);
	free(gen.clusters);
	free(gen.inner);
	free(gen.bias);
	free(gen.outer);
	return set;
}
