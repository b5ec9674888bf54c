/*
 * rotation.c
 *	  The rotation is orthogonal, invertible, the same everywhere, and spreads.
 *
 * How well it spreads is tried on the worst input, vectors with a single
 * coordinate.
 */
#include <math.h>
#include <string.h>

#include "algo/distance.h"
#include "unit.h"

#define MAX_DIM 16000

static const int dims[] = {
	1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 128, 129, 192, 300, 384, 700, 784,
	832, 1000, 1024, 1536, 3072, 4096, 5000, MAX_DIM
};

#define NUM_DIMS ((int) (sizeof(dims) / sizeof(dims[0])))

static float *input_end;		/* behind each of these lies a fault */
static float *output_end;
static void *memory;			/* of the rotation */

static AnnRotation *
new_rotation(int dim, uint64_t seed)
{
	return ann_rotation_init(memory, dim, seed);
}

/* Rotate a copy of x to the end of guarded memory; returns where. */
static float *
rotate_guarded(const AnnKernels *t, const AnnRotation *rotation, const float *x,
			   int dim)
{
	float	   *in = input_end - dim;
	float	   *out = output_end - ann_rotation_padded(dim);

	memcpy(in, x, dim * sizeof(float));
	t->rotate(rotation, in, out);
	return out;
}

static void
fill(float *x, int dim)
{
	for (int i = 0; i < dim; i++)
		x[i] = (float) (random_unit() - 0.5);
}

static double
inner_product(const float *x, const float *y, int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += (double) x[i] * y[i];
	return sum;
}

static void
test_orthogonal(const AnnKernels *t)
{
	static float x[MAX_DIM],
				y[MAX_DIM],
				rx[MAX_DIM + 64],
				ry[MAX_DIM + 64];
	double		worst = 0,
				worst_inverse = 0;

	for (int d = 0; d < NUM_DIMS; d++)
	{
		int			dim = dims[d],
					padded = ann_rotation_padded(dim);
		AnnRotation *rotation = new_rotation(dim, 100 + d);
		double		norm;

		fill(x, dim);
		fill(y, dim);
		memcpy(rx, rotate_guarded(t, rotation, x, dim), padded * sizeof(float));
		memcpy(ry, rotate_guarded(t, rotation, y, dim), padded * sizeof(float));
		norm = sqrt(inner_product(x, x, dim) * inner_product(y, y, dim));
		worst = fmax(worst, fabs(inner_product(rx, ry, padded) -
								 inner_product(x, y, dim)) / norm);
		worst = fmax(worst, fabs(inner_product(rx, rx, padded) /
								 inner_product(x, x, dim) - 1));
		ann_unrotate(rotation, rx);
		for (int i = 0; i < padded; i++)
			worst_inverse = fmax(worst_inverse, fabs(rx[i] - (i < dim ? x[i] : 0)));
	}
	ok(worst < 1e-5, "%s: norms and inner products are kept (%g)", t->name, worst);
	ok(worst_inverse < 1e-5, "%s: rotating back restores (%g)", t->name, worst_inverse);
}

/* Every table gives the bits of the first, and another seed other ones. */
static void
test_same_bits(const AnnKernels *t)
{
	static float x[MAX_DIM],
				first[MAX_DIM + 64];
	bool		same = true,
				other = true;

	for (int d = 0; d < NUM_DIMS; d++)
	{
		int			dim = dims[d];
		size_t		size = ann_rotation_padded(dim) * sizeof(float);
		AnnRotation *rotation = new_rotation(dim, 7);

		fill(x, dim);
		ann_kernels_usable(0)->rotate(rotation, x, first);
		same &= memcmp(first, rotate_guarded(t, rotation, x, dim), size) == 0;
		rotation = new_rotation(dim, 8);
		other &= memcmp(first, rotate_guarded(t, rotation, x, dim), size) != 0;
	}
	ok(same, "%s: the same bits as %s", t->name, ann_kernels_usable(0)->name);
	ok(other, "%s: another seed rotates otherwise", t->name);
}

/* Checksum of the bytes of floats: FNV-1a of their bits, in this order. */
static uint64_t
checksum(const float *x, int n)
{
	uint64_t	sum = 0xcbf29ce484222325u;

	for (int i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &x[i], sizeof(bits));
		sum = (sum ^ bits) * 0x100000001b3u;
	}
	return sum;
}

/* What indexes on disk depend on: these numbers must never change. */
static void
test_frozen(const AnnKernels *t)
{
	static const struct
	{
		int			dim;
		uint64_t	seed;
		uint64_t	checksum;
	}			frozen[] = {
		{64, 0, 0x973cb61097f62825},
		{100, 1, 0xa98f08a6c209e5d3},
		{784, 42, 0x0efc6afb1e5aff9d},
		{1536, UINT64_MAX, 0xd3a616b25b70c03f},
	};
	static float x[MAX_DIM];

	for (int i = 0; i < MAX_DIM; i++)
		x[i] = (float) (i % 7 - 3) / 4;
	for (int i = 0; i < (int) (sizeof(frozen) / sizeof(frozen[0])); i++)
	{
		int			dim = frozen[i].dim;
		AnnRotation *rotation = new_rotation(dim, frozen[i].seed);
		uint64_t	got = checksum(rotate_guarded(t, rotation, x, dim),
								   ann_rotation_padded(dim));

		ok(got == frozen[i].checksum, "%s: frozen rotation of %d dimensions (%016llx)",
		   t->name, dim, (unsigned long long) got);
	}
}

/* A vector with one coordinate gets coordinates of about equal size. */
static void
test_spreading(const AnnKernels *t)
{
	static float x[MAX_DIM];
	double		worst = 0;
	int			worst_dim = 0;

	for (int d = 0; d < NUM_DIMS; d++)
	{
		int			dim = dims[d],
					padded = ann_rotation_padded(dim);

		for (int round = 0; round < 10; round++)
		{
			AnnRotation *rotation = new_rotation(dim, random_bits());
			int			place = random_bits() % dim;
			const float *out;

			x[place] = 1;
			out = rotate_guarded(t, rotation, x, dim);
			x[place] = 0;
			for (int i = 0; i < padded; i++)
			{
				if (fabs(out[i]) * sqrt(padded) > worst)
				{
					worst = fabs(out[i]) * sqrt(padded);
					worst_dim = dim;
				}
			}
		}
	}
	ok(worst < 6, "%s: a unit vector spreads (%g / sqrt(dim), dimension %d)",
	   t->name, worst, worst_dim);
}

/* Nothing overflows on the way, and nothing is lost. */
static void
test_extreme(const AnnKernels *t)
{
	static float x[MAX_DIM];
	int			dim = 1000;
	AnnRotation *rotation = new_rotation(dim, 3);
	const float *out;
	bool		finite = true,
				zero = true;

	for (int i = 0; i < dim; i++)
		x[i] = 1e37f;
	out = rotate_guarded(t, rotation, x, dim);
	for (int i = 0; i < ann_rotation_padded(dim); i++)
		finite &= isfinite(out[i]);
	ok(finite, "%s: a norm of 3e38 does not overflow", t->name);

	memset(x, 0, sizeof(x));
	out = rotate_guarded(t, rotation, x, dim);
	for (int i = 0; i < ann_rotation_padded(dim); i++)
		zero &= out[i] == 0;
	ok(zero, "%s: zero stays zero", t->name);
}

int
main(void)
{
	input_end = (float *) guarded_memory(MAX_DIM * sizeof(float)) + MAX_DIM;
	output_end = (float *) guarded_memory((MAX_DIM + 64) * sizeof(float)) + MAX_DIM + 64;
	memory = malloc(ann_rotation_size(MAX_DIM));

	ok(ann_rotation_padded(1) == 64 && ann_rotation_padded(64) == 64 &&
	   ann_rotation_padded(65) == 128 && ann_rotation_padded(MAX_DIM) == MAX_DIM,
	   "padded dimensions");
	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
	{
		const AnnKernels *t = ann_kernels_usable(i);

		unit_seed = 1;			/* all tables are tested alike */
		test_orthogonal(t);
		test_same_bits(t);
		test_frozen(t);
		test_spreading(t);
		test_extreme(t);
	}
	free(memory);
	return done();
}
