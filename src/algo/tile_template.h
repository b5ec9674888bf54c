/*
 * tile_template.h
 *	  The kernel of tiles for one instruction set; included once per table by
 *	  tile_ISA.c.  (No include guard: it is a template.)
 *
 * Two rows of b at a time against the four of a: eight sums, which with their
 * operands fit sixteen registers.
 *
 * The including file defines, and this file undefines again:
 *
 *	 KERNEL		name of the function to define
 *	 OP			prefix of the operations
 *
 * and for the whole file:
 *
 *	 TARGET		function attribute that allows the instruction set
 *	 OP_LANES	how many bytes one load takes, at most 64
 *	 OP_acc		type of an accumulator
 *	 OP_vec		type of a loaded operand
 *	 OP_zero()			an accumulator of zeros
 *	 OP_load_a(p)		operands of either side
 *	 OP_load_b(p)
 *	 OP_bias()			what load_a adds to each byte, as an operand of side a
 *	 OP_biased			whether it adds anything
 *	 OP_dot(s, a, b)	s + a * b per lane
 *	 OP_store(s0, s1, s2, s3, t, out)	the sums over the lanes of s0 - t, ...
 *
 * Products by way of biased operands are too large by the products of the
 * bias, which are summed up beside them, in t.
 */
#define PASTE_(x, y) x##_##y
#define PASTE(x, y) PASTE_(x, y)
#define DO(operation) PASTE(OP, operation)

/* One row of b, or two, which the compiler knows. */
TARGET static inline __attribute__((always_inline)) void
DO(rows) (const int8_t *const a[4], const int8_t *b0, const int8_t *b1, bool two,
		  int dim, int32_t *out)
{
	DO(acc)		s00 = DO(zero) (), s01 = s00, s02 = s00, s03 = s00;
	DO(acc)		s10 = s00, s11 = s00, s12 = s00, s13 = s00;
	DO(acc)		t0 = s00, t1 = s00;

	for (int i = 0; i < dim; i += DO(LANES))
	{
		DO(vec)		y0 = DO(load_b) (b0 + i);
		DO(vec)		y1 = two ? DO(load_b) (b1 + i) : y0;
		DO(vec)		x;

#define STEP(k) \
		x = DO(load_a) (a[k] + i); \
		s0##k = DO(dot) (s0##k, x, y0); \
		if (two) \
			s1##k = DO(dot) (s1##k, x, y1)

		STEP(0);
		STEP(1);
		STEP(2);
		STEP(3);
#undef STEP
		if (DO(biased))
		{
			t0 = DO(dot) (t0, DO(bias) (), y0);
			if (two)
				t1 = DO(dot) (t1, DO(bias) (), y1);
		}
	}
	DO(store) (s00, s01, s02, s03, t0, out);
	if (two)
		DO(store) (s10, s11, s12, s13, t1, out + 4);
}

TARGET void
KERNEL(const int8_t *const a[4], const int8_t *const *b, uint32_t n, int dim,
	   int32_t *out)
{
	const int8_t *const rows[4] = {a[0], a[1], a[2], a[3]};
	uint32_t	j = 0;

	for (; j + 2 <= n; j += 2)
		DO(rows) (rows, b[j], b[j + 1], true, dim, out + 4 * j);
	if (j < n)
		DO(rows) (rows, b[j], b[j], false, dim, out + 4 * j);
}

#undef PASTE_
#undef PASTE
#undef DO
#undef KERNEL
#undef OP
