/*
 * links.c
 *	  What links of a graph are made and chosen by: codes that know a part of the
 *	  dimensions, what codes tell of one another, and occlusion.
 *
 * Random residuals stand for rotated ones, as in code.c.
 */
#include <math.h>
#include <string.h>

#include "algo/distance.h"
#include "algo/occlude.h"
#include "unit.h"

#define DIM 832
#define MAX_CANDIDATES 40
#define TRIALS 400

static float q[DIM],
			c[DIM],
			a[DIM],
			b[DIM];
static uint8_t code[2][DIM / 2];
static int8_t grid[2][DIM];

static double
product(const float *x, const float *y, int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += (double) x[i] * y[i];
	return sum;
}

/* A residual, and another one at about this cosine to it. */
static void
draw_pair(int dim, double cosine)
{
	for (int i = 0; i < dim; i++)
	{
		a[i] = random_normal();
		b[i] = (float) (cosine * a[i] + sqrt(1 - cosine * cosine) * random_normal());
		c[i] = 3 * random_normal();
		q[i] = c[i] + 2 * random_normal();
	}
}

/*
 * The estimate from a part of the dimensions: unbiased, and the better the more
 * dimensions the code knows.  Returns the root mean square of its error, relative
 * to the distance.
 */
static double
partial_error(int bits, int dim, int width)
{
	double		error = 0,
				bias = 0;

	for (int t = 0; t < TRIALS; t++)
	{
		AnnCodeFactors f;
		double		sq = 0,
					d2 = 0,
					truth = 0,
					e;

		draw_pair(dim, 0.5);
		ann_code_encode(bits, dim, width, a, c, code[0], &f);
		ann_code_grid(bits, width, code[0], grid[0]);
		for (int i = 0; i < width; i++)
		{
			double		s = bits == 1 ? (a[i] >= 0) - 0.5 : grid[0][i] / 2.0;

			sq += s * q[i];
		}
		for (int i = 0; i < dim; i++)
		{
			d2 += ((double) q[i] - c[i]) * ((double) q[i] - c[i]);
			truth += ((double) q[i] - c[i] - a[i]) * ((double) q[i] - c[i] - a[i]);
		}
		e = (d2 + f.a + f.f * sq - truth) / truth;
		error += e * e;
		bias += e;
	}
	ok(fabs(bias) / TRIALS < 3 * sqrt(error) / TRIALS,
	   "%d bits, %d of %d dimensions: the estimate is unbiased (%.4f)", bits, width, dim,
	   bias / TRIALS);
	return sqrt(error / TRIALS);
}

static void
test_partial(int bits, int dim)
{
	double		whole = partial_error(bits, dim, dim);
	double		half = partial_error(bits, dim, dim / 128 * 64);

	ok(half > whole && half < (bits == 1 ? 2.5 * whole : 1),
	   "%d bits, %d dimensions: error %.4f with all, %.4f with half", bits, dim, whole, half);
}

/* What two codes say of the angle between residuals, and a code of its length. */
static void
test_pairs(int bits, int dim, double most_angle, double most_length)
{
	static const double cosines[] = {-0.8, -0.3, 0, 0.5, 0.9};
	double		angle = 0,
				length = 0;
	int			n = 0;

	for (int t = 0; t < TRIALS; t++)
	{
		AnnCodeFactors f[2];
		double		cosine,
					norm;

		draw_pair(dim, cosines[t % 5]);
		ann_code_encode(bits, dim, dim, a, c, code[0], &f[0]);
		ann_code_encode(bits, dim, dim, b, c, code[1], &f[1]);
		for (int i = 0; i < 2; i++)
			ann_code_grid(bits, dim, code[i], grid[i]);
		norm = sqrt(product(a, a, dim));
		cosine = product(a, b, dim) / norm / sqrt(product(b, b, dim));
		{
			double		norms[2] = {0, 0};

			for (int k = 0; k < 2; k++)
				for (int i = 0; i < dim; i++)
					norms[k] += grid[k][i] * grid[k][i];
			angle += fabs(ann_code_cosine(bits, dim, grid[0], (float) norms[0],
										  grid[1], (float) norms[1]) - cosine);
			length += fabs(ann_code_length(bits, dim, dim, (float) norms[0], f[0].f) / norm - 1);
		}
		n++;
	}
	ok(angle / n < most_angle, "%d bits, %d dimensions: cosine of two codes, off by %.4f",
	   bits, dim, angle / n);
	ok(length / n < most_length, "%d bits, %d dimensions: length by a code, off by %.4f",
	   bits, dim, length / n);
}

/* ---- occlusion ---- */

static double place[MAX_CANDIDATES][3];

static float
pair_distance(void *arg, int i, int j)
{
	double		sum = 0;

	for (int k = 0; k < 3; k++)
		sum += (place[i][k] - place[j][k]) * (place[i][k] - place[j][k]);
	++*(int *) arg;
	return (float) sum;
}

/* The rule, written down once more. */
static int
choose_plainly(int n, int fixed, const float *distance, int max, int fill, bool *kept)
{
	int			calls = 0,
				count = fixed;

	for (int i = 0; i < n; i++)
	{
		bool		apart = true;

		for (int k = 0; k < i; k++)
			apart &= !(kept[k] && 1.1f * 1.1f * pair_distance(&calls, k, i) < distance[i]);
		kept[i] = i < fixed || (apart && count < max);
		count += i >= fixed && kept[i];
	}
	for (int i = 0; i < n; i++)
	{
		if (!kept[i] && count < fill)
		{
			kept[i] = true;
			count++;
		}
	}
	return count;
}

static void
test_occlude(void)
{
	bool		same = true,
				counted = true,
				pruned = false;

	for (int t = 0; t < TRIALS; t++)
	{
		int			n = (int) (random_bits() % (MAX_CANDIDATES + 1));
		int			fixed = n > 0 ? (int) (random_bits() % (n + 1)) / 4 : 0;
		int			max = 2 + (int) (random_bits() % 32);
		int			fill = (int) (random_bits() % (max + 1));
		float		distance[MAX_CANDIDATES];
		bool		kept[MAX_CANDIDATES] = {false},
					plain[MAX_CANDIDATES] = {false};
		int			calls = 0,
					count,
					expected,
					sum = 0;

		if (max < fixed)
			max = fixed;
		for (int i = 0; i < n; i++)
		{
			/* on a coarse grid, so that some are equal */
			for (int k = 0; k < 3; k++)
				place[i][k] = floor(random_unit() * 8) - 4;
			distance[i] = (float) (place[i][0] * place[i][0] + place[i][1] * place[i][1] +
								   place[i][2] * place[i][2]);
		}
		for (int i = fixed + 1; i < n; i++)
			for (int j = i; j > fixed && distance[j] < distance[j - 1]; j--)
			{
				float		d = distance[j];
				double		p[3];

				distance[j] = distance[j - 1];
				distance[j - 1] = d;
				memcpy(p, place[j], sizeof(p));
				memcpy(place[j], place[j - 1], sizeof(p));
				memcpy(place[j - 1], p, sizeof(p));
			}
		expected = choose_plainly(n, fixed, distance, max, fill, plain);
		count = ann_occlude(n, fixed, distance, pair_distance, &calls, max, fill, kept);
		for (int i = 0; i < n; i++)
			sum += kept[i];
		same &= memcmp(kept, plain, sizeof(kept)) == 0;
		counted &= count == expected && count == sum;
		pruned |= count < n && count < max;
	}
	ok(same, "occlusion chooses what the rule says");
	ok(counted, "occlusion counts what it chooses");
	ok(pruned, "occlusion leaves candidates out");
}

/* Equal rows do not occlude one another: each is needed to reach the others. */
static void
test_equal(void)
{
	float		distance[4] = {0, 0, 0, 0};
	bool		kept[4];
	int			calls = 0;

	memset(place, 0, sizeof(place));
	ok(ann_occlude(4, 0, distance, pair_distance, &calls, 8, 0, kept) == 4,
	   "equal candidates are all chosen");
}

int
main(void)
{
	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
	{
		ann_kernels = ann_kernels_usable(i);
		printf("# kernels: %s\n", ann_kernels->name);
		test_pairs(1, 832, 0.05, 0.03);
		test_pairs(1, 448, 0.06, 0.04);
		test_pairs(4, 64, 0.02, 0.01);
	}
	test_partial(1, 832);
	test_partial(1, 256);
	test_partial(4, 128);
	test_occlude();
	test_equal();
	return done();
}
