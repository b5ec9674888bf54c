/*
 * code.c
 *	  Codes, tables of queries, and the block kernels of every instruction set
 *	  against computations in double; then how good the estimates are.
 *
 * No rotation is involved: random residuals stand for rotated ones.
 */
#include <math.h>
#include <string.h>

#include "algo/distance.h"
#include "unit.h"

#define MAX_DIM 16000
#define ROWS ANN_CODE_ROWS
#define SLACK 1.9f

static const int dims[] = {64, 128, 192, 832, 1024, 4096, MAX_DIM};

#define NUM_DIMS ((int) (sizeof(dims) / sizeof(dims[0])))

/* All that one block needs, each part at the end of its guarded memory. */
typedef struct Setting
{
	int			bits;
	int			dim;
	size_t		bytes;
	AnnCodeQuery *query;
	uint8_t    *codes;
	float	   *factors[3];		/* A, F, E of ROWS rows */
	AnnCodeBlock block;
} Setting;

static float q[MAX_DIM],
			c[MAX_DIM],
			r[MAX_DIM];
static uint8_t code[MAX_DIM / 2];

static void
fill(float *x, int dim, float scale)
{
	for (int i = 0; i < dim; i++)
		x[i] = random_normal() * scale;
}

static void
set_up(Setting *s, int bits, int dim)
{
	static char *query_end,
			   *codes_end,
			   *factors_end[3];
	size_t		most = ann_code_bytes(4, MAX_DIM);

	if (query_end == NULL)
	{
		query_end = (char *) guarded_memory(ann_code_query_size(4, MAX_DIM)) +
			ann_code_query_size(4, MAX_DIM);
		codes_end = (char *) guarded_memory(ROWS * most) + ROWS * most;
		for (int i = 0; i < 3; i++)
			factors_end[i] = (char *) guarded_memory(ROWS * sizeof(float)) +
				ROWS * sizeof(float);
	}
	s->bits = bits;
	s->dim = dim;
	s->bytes = ann_code_bytes(bits, dim);
	s->query = (AnnCodeQuery *) (query_end - ann_code_query_size(bits, dim));
	s->codes = (uint8_t *) codes_end - ROWS * s->bytes;
	for (int i = 0; i < 3; i++)
		s->factors[i] = (float *) (factors_end[i] - ROWS * sizeof(float));
	s->block = (AnnCodeBlock) {s->codes, s->factors[0], s->factors[1], s->factors[2]};
}

static void
set_query(Setting *s)
{
	s->query = ann_code_query_init(s->query, s->bits, s->dim, q);
}

static void
set_row(Setting *s, int row)
{
	AnnCodeFactors f;

	ann_code_encode(s->bits, s->dim, s->dim, r, c, code, &f);
	ann_code_put(s->codes, s->bytes, row, code);
	s->factors[0][row] = f.a;
	s->factors[1][row] = f.f;
	s->factors[2][row] = f.e;
}

/* The grid value of dimension i in 'code', from its documented layout. */
static double
grid_value(int bits, int i)
{
	if (bits == 1)
		return (code[i / 8] >> (i % 8) & 1) - 0.5;
	return (code[i / 2] >> (i % 2 * 4) & 15) - 7.5;
}

/* The table entry that nibble n (0 low) of byte t picks with u. */
static int
entry(const Setting *s, size_t t, int n, int u)
{
	return s->query->table[t / 2 * 128 + n * 64 + t % 2 * 32 + u];
}

static double
squared_distance(const float *x, const float *y, int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
	return sum;
}

/* The true distance of q from c + r. */
static double
true_distance(int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += ((double) q[i] - c[i] - r[i]) * ((double) q[i] - c[i] - r[i]);
	return sum;
}

static bool
close_to(double got, double wanted, double magnitude)
{
	return fabs(got - wanted) <= 1e-5 * magnitude;
}

/* Codes are of the right shape, and factors those of the definition. */
static void
test_encode(int bits)
{
	bool		signs = true,
				factors = true;
	double		least_cosine = 1;

	for (int d = 0; d < NUM_DIMS; d++)
	{
		int			dim = dims[d];
		AnnCodeFactors f;
		double		rr = 0,
					sr = 0,
					ss = 0,
					sc = 0,
					cosine;

		fill(r, dim, 3);
		fill(c, dim, 5);
		r[0] = 0;
		r[1] = -0.0f;
		ann_code_encode(bits, dim, dim, r, c, code, &f);
		for (int i = 0; i < dim; i++)
		{
			double		s = grid_value(bits, i);

			signs &= (s > 0) == (r[i] >= 0);
			rr += (double) r[i] * r[i];
			sr += s * r[i];
			ss += s * s;
			sc += s * c[i];
		}
		cosine = sr / sqrt(rr * ss);
		least_cosine = fmin(least_cosine, cosine);
		factors &= close_to(f.a, rr + 2 * rr / sr * sc, rr + sqrt(rr) * 5 * sqrt(dim)) &&
			close_to(f.f, -2 * rr / sr, rr / sr) &&
			close_to(f.e, 2 * sqrt(rr) * sqrt((1 / cosine / cosine - 1) / (dim - 1)), f.e);
	}
	ok(signs, "%d bit: the grid has the signs of the residual", bits);
	ok(factors, "%d bit: factors", bits);
	ok(least_cosine > (bits == 1 ? 0.7 : 0.985), "%d bit: cosine of grid and residual (%g)",
	   bits, least_cosine);
}

static void
test_put_get(void)
{
	static uint8_t codes[ROWS][MAX_DIM / 2],
				block[ROWS * MAX_DIM / 2];
	bool		same = true,
				layout = true;

	for (size_t bytes = 8; bytes <= 2048; bytes *= 4)
	{
		for (int row = 0; row < ROWS; row++)
		{
			for (size_t t = 0; t < bytes; t++)
				codes[row][t] = random_bits() & 0xff;
			ann_code_put(block, bytes, row, codes[row]);
		}
		for (int row = 0; row < ROWS; row++)
		{
			ann_code_get(block, bytes, row, code);
			same &= memcmp(code, codes[row], bytes) == 0;
			layout &= block[5 * ROWS + row] == codes[row][5];
		}
	}
	ok(same, "codes come out of a block as they went in");
	ok(layout, "blocks hold the same byte of all rows side by side");
}

/* What u adds to <u,q> in nibble n of byte t, the least possible included. */
static double
contribution(const Setting *s, size_t t, int n, int u)
{
	size_t		nibble = 2 * t + n;
	double		sum = 0;

	if (s->bits == 4)
		return u * (double) q[nibble] - fmin(0, 15 * (double) q[nibble]);
	for (int j = 0; j < 4; j++)
	{
		double		x = q[4 * nibble + j];

		sum += (u >> j & 1) * x - fmin(0, x);
	}
	return sum;
}

/* Largest entry of a byte's two tables together. */
static int
largest_sum(const Setting *s, size_t t)
{
	int			largest[2] = {0, 0};

	for (int n = 0; n < 2; n++)
	{
		for (int u = 0; u < 16; u++)
		{
			if (entry(s, t, n, u) > largest[n])
				largest[n] = entry(s, t, n, u);
		}
	}
	return largest[0] + largest[1];
}

static void
test_table(int bits)
{
	bool		rounded = true,
				twice = true,
				fits = true,
				base = true;
	Setting		s;

	for (int d = 0; d < NUM_DIMS; d++)
	{
		double		total = 0;

		set_up(&s, bits, dims[d]);
		fill(q, s.dim, 2);
		set_query(&s);
		for (size_t t = 0; t < s.bytes; t++)
		{
			for (int n = 0; n < 2; n++)
			{
				for (int u = 0; u < 16; u++)
				{
					rounded &= fabs(entry(&s, t, n, u) -
									contribution(&s, t, n, u) / s.query->step) < 0.501;
					twice &= entry(&s, t, n, u) == entry(&s, t, n, u + 16);
				}
			}
			fits &= largest_sum(&s, t) <= 255;
			if (bits == 1 && t % 4 < 2)
				fits &= largest_sum(&s, t) + largest_sum(&s, t + 2) <= 255;
		}
		for (int i = 0; i < s.dim; i++)
			total += fabs(q[i]);
		base &= close_to(s.query->base, -0.5 * (bits == 1 ? 1 : 15) * total, total);
	}
	ok(rounded, "%d bit: table entries are rounded contributions", bits);
	ok(twice, "%d bit: each table is there twice", bits);
	ok(fits, "%d bit: sums that have to fit a byte do", bits);
	ok(base, "%d bit: base", bits);
}

static void
random_block(Setting *s)
{
	for (size_t i = 0; i < ROWS * s->bytes; i++)
		s->codes[i] = random_bits() & 0xff;
	for (int row = 0; row < ROWS; row++)
	{
		s->factors[0][row] = random_normal() * 10;
		s->factors[1][row] = -1 - (float) random_unit();
		s->factors[2][row] = (float) random_unit();
	}
}

static uint32_t
sum_of_entries(const Setting *s, int row)
{
	uint32_t	sum = 0;

	ann_code_get(s->codes, s->bytes, row, code);
	for (size_t t = 0; t < s->bytes; t++)
		sum += entry(s, t, 0, code[t] & 15) + entry(s, t, 1, code[t] >> 4);
	return sum;
}

/* One block by kernel t: the sums in integers, then all of the result. */
static void
check_block(const AnnKernels *t, Setting *s, bool *sums, bool *values, bool *same)
{
	static const float zero[ROWS];
	float		one[ROWS],
				est[ROWS],
				lb[ROWS],
				first_est[ROWS],
				first_lb[ROWS];
	AnnCodeBlock bare = {s->codes, zero, one, zero};
	AnnCodeQuery saved = *s->query;
	float		d2 = (float) (random_unit() * s->dim),
				thr;
	uint32_t	mask;

	/* with these factors, the estimate is the sum of the entries */
	for (int row = 0; row < ROWS; row++)
		one[row] = 1;
	s->query->step = 1;
	s->query->base = 0;
	t->scan_block(s->query, &bare, 0, 0, 0, est, lb);
	for (int row = 0; row < ROWS; row++)
		*sums &= est[row] == (float) sum_of_entries(s, row);
	s->query->step = saved.step;
	s->query->base = saved.base;

	thr = d2 - s->query->base / 2;
	ann_kernels_usable(0)->scan_block(s->query, &s->block, d2, SLACK, thr,
									  first_est, first_lb);
	mask = t->scan_block(s->query, &s->block, d2, SLACK, thr, est, lb);
	*same &= memcmp(est, first_est, sizeof(est)) == 0 &&
		memcmp(lb, first_lb, sizeof(lb)) == 0;
	for (int row = 0; row < ROWS; row++)
	{
		double		a = s->factors[0][row],
					f = s->factors[1][row],
					steps = (double) s->query->step * sum_of_entries(s, row),
					wanted = d2 + a + f * (s->query->base + steps),
					spread = s->factors[2][row] * (double) SLACK *
		sqrt((double) d2 + s->query->noise),
					magnitude = d2 + fabs(a) - f * (steps - s->query->base) + spread;

		*values &= close_to(est[row], wanted, magnitude) &&
			close_to(lb[row], wanted - spread, magnitude) &&
			(mask >> row & 1) == (lb[row] <= thr);
	}
}

static void
test_scan(const AnnKernels *t, int bits)
{
	bool		sums = true,
				values = true,
				same = true,
				extreme = true;
	Setting		s;

	for (int d = 0; d < NUM_DIMS; d++)
	{
		set_up(&s, bits, dims[d]);
		for (int round = 0; round < 10; round++)
		{
			fill(q, s.dim, 2);
			set_query(&s);
			random_block(&s);
			check_block(t, &s, &sums, &values, &same);
		}
		/* the largest sums that can occur: every table as large as allowed */
		for (int i = 0; i < s.dim; i++)
			q[i] = 1;
		set_query(&s);
		memset(s.codes, 0xff, ROWS * s.bytes);
		check_block(t, &s, &extreme, &values, &same);
	}
	ok(sums, "%s, %d bit: sums of table entries are exact", t->name, bits);
	ok(extreme, "%s, %d bit: the largest sums are exact", t->name, bits);
	ok(values, "%s, %d bit: estimates, bounds and mask", t->name, bits);
	ok(same, "%s, %d bit: the same bits as %s", t->name, bits, ann_kernels_usable(0)->name);
}

/*
 * Rows and queries at random around a centre: the error in units of its bound
 * has mean 0 and standard deviation 1.  Returns the root mean square of the
 * error itself.
 */
static double
test_quality(int bits, int dim)
{
	const AnnKernels *t = ann_kernels_usable(0);
	double		sum = 0,
				squares = 0,
				error_squares = 0,
				n = 0,
				mean,
				deviation;
	int			within = 0;
	Setting		s;

	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
		t = ann_kernels_usable(i);
	set_up(&s, bits, dim);
	for (int round = 0; round < 400; round++)
	{
		double		truth[ROWS],
					d2;
		float		est[ROWS],
					lb[ROWS];

		fill(c, dim, 1);
		fill(q, dim, 1);
		set_query(&s);
		for (int row = 0; row < ROWS; row++)
		{
			fill(r, dim, 0.7f);
			set_row(&s, row);
			truth[row] = true_distance(dim);
		}
		d2 = squared_distance(q, c, dim);
		t->scan_block(s.query, &s.block, (float) d2, SLACK, 0, est, lb);
		for (int row = 0; row < ROWS; row++)
		{
			double		error = (est[row] - truth[row]);
			double		unit = s.factors[2][row] * sqrt(d2);

			n++;
			sum += error / unit;
			squares += error * error / unit / unit;
			error_squares += error * error;
			within += fabs(error) < (double) SLACK * unit;
		}
	}
	mean = sum / n;
	deviation = sqrt(squares / n - mean * mean);
	/* the mean has a standard deviation of 1/113 by itself */
	ok(fabs(mean) < 0.05, "%d bit, %d dimensions: no bias (%.3f)", bits, dim, mean);
	ok(deviation > 0.7 && deviation < 1.3, "%d bit, %d dimensions: spread (%.3f)",
	   bits, dim, deviation);
	ok(within >= 0.93 * n, "%d bit, %d dimensions: bound holds (%.2f %%)",
	   bits, dim, 100 * within / n);
	return sqrt(error_squares / n);
}

/* What became of the residual in r. */
typedef struct Outcome
{
	float		est;
	float		lb;
	bool		reported;		/* with the true distance as threshold */
	double		truth;
	double		d2;
	double		rounding;		/* standard deviation of that of the table */
} Outcome;

/* Whether the outcome is good by every table. */
static bool
all_outcomes(int bits, int dim, bool (*good) (const Outcome *))
{
	Outcome		o;
	float		est[ROWS],
				lb[ROWS];
	bool		held = true;
	Setting		s;

	set_up(&s, bits, dim);
	set_query(&s);
	for (int row = 0; row < ROWS; row++)
		set_row(&s, row);
	o.d2 = squared_distance(q, c, dim);
	o.truth = true_distance(dim);
	o.rounding = fabs(s.factors[1][0]) * s.query->step * sqrt(s.bytes / 6.0);
	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
	{
		uint32_t	mask = ann_kernels_usable(i)->scan_block(s.query, &s.block, (float) o.d2,
															 SLACK, (float) o.truth, est, lb);

		o.est = est[3];
		o.lb = lb[3];
		o.reported = mask != 0;
		held &= (mask == 0 || mask == UINT32_MAX) && good(&o);
	}
	return held;
}

static bool
exactly_d2(const Outcome *o)
{
	return o->est == (float) o->d2 && o->lb == (float) o->d2 && o->reported;
}

/* Six deviations are never exceeded; the rounding of floats is allowed for. */
static bool
near_truth(const Outcome *o)
{
	return isfinite(o->est) && isfinite(o->lb) && o->lb <= o->est &&
		fabs(o->est - o->truth) <= 6 * (o->est - o->lb) / (double) SLACK +
		6 * o->rounding + 1e-5 * (o->truth + o->d2);
}

static bool
always_reported(const Outcome *o)
{
	return o->reported;
}

static void
test_degenerate(int bits)
{
	static const float scales[] = {1e-17f, 1e-10f, 1e10f, 1e17f};
	bool		held = true;
	const int	dim = 128;

	fill(q, dim, 1);
	fill(c, dim, 1);
	memset(r, 0, sizeof(r));
	ok(all_outcomes(bits, dim, exactly_d2), "%d bit: no residual", bits);

	fill(r, dim, 1);
	memcpy(q, c, sizeof(q));
	ok(all_outcomes(bits, dim, near_truth), "%d bit: query at the centre", bits);
	memset(q, 0, sizeof(q));
	ok(all_outcomes(bits, dim, near_truth), "%d bit: query of zeros", bits);

	fill(q, dim, 1);
	for (int i = 0; i < dim; i++)
		r[i] = -2;
	ok(all_outcomes(bits, dim, near_truth), "%d bit: all coordinates equal", bits);
	memset(r, 0, sizeof(r));
	r[77] = 5;
	ok(all_outcomes(bits, dim, near_truth), "%d bit: a single coordinate", bits);

	for (int i = 0; i < 4; i++)
	{
		fill(q, dim, scales[i]);
		fill(c, dim, scales[i]);
		fill(r, dim, scales[i]);
		held &= all_outcomes(bits, dim, near_truth);
	}
	ok(held, "%d bit: huge and tiny values", bits);

	fill(q, 64, 1e18f);
	fill(c, 64, 1e18f);
	fill(r, 64, 1e18f);
	ok(all_outcomes(bits, 64, near_truth), "%d bit: norms of 1e19", bits);
	for (float scale = 1e19f; scale < 1e37f; scale *= 10)
	{
		fill(r, dim, scale);
		held &= all_outcomes(bits, dim, always_reported);
	}
	ok(held, "%d bit: rows that overflow are reported", bits);

	memset(q, 0, sizeof(q));
	memset(c, 0, sizeof(c));
	fill(r, dim, 1e-30f);
	ok(all_outcomes(bits, dim, exactly_d2), "%d bit: residuals below 1e-18 are none", bits);
}

int
main(void)
{
	static const int quality_dims[] = {64, 128, 832};

	test_put_get();
	for (int bits = 1; bits <= 4; bits += 3)
	{
		test_encode(bits);
		test_table(bits);
		for (int i = 0; ann_kernels_usable(i) != NULL; i++)
		{
			unit_seed = bits;	/* all tables are tested alike */
			test_scan(ann_kernels_usable(i), bits);
		}
		test_degenerate(bits);
	}
	for (int i = 0; i < 3; i++)
	{
		double		coarse = test_quality(1, quality_dims[i]);
		double		fine = test_quality(4, quality_dims[i]);

		ok(fine < coarse / 5, "%d dimensions: 4 bits are %.1f times as exact as 1",
		   quality_dims[i], coarse / fine);
	}
	return done();
}
