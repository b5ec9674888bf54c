/*
 * distance_template.h
 *	  The three kernels of one pair of element types; included once per pair
 *	  by each distance_ISA.c.  (No include guard: it is a template.)
 *
 * The including file defines, and this file undefines again:
 *
 *	 PAIR	suffix of the functions to define: l2sq_PAIR, ip_PAIR, cosine_PAIR
 *	 ACC	prefix of the operations on accumulators and operands, see below
 *	 A, B	names of the element types of the first and the second operand
 *
 * and for the whole file:
 *
 *	 TARGET			function attribute that allows the instruction set
 *	 ACC_LANES		how many elements one load takes
 *	 ACC_acc		type of an accumulator
 *	 ACC_vec		type of a loaded operand
 *	 ACC_zero()		an accumulator of zeros
 *	 ACC_load_T(p)			ACC_LANES elements of type T, widened
 *	 ACC_load_T_tail(p, n)	the first n < ACC_LANES of them, the rest zero
 *	 ACC_ip(s, a, b)		s + a * b per lane
 *	 ACC_l2sq(s, a, b)		s + (a - b)^2 per lane
 *	 ACC_sum(s0, s1, s2, s3)	sum of all lanes, as a double
 *
 * Indexes are size_t: with the -fwrapv that PostgreSQL is compiled with, an
 * int would be widened anew for every load.
 *
 * Four accumulators hide the latency of the additions.  Element i always goes
 * to lane i % ACC_LANES of accumulator (i / ACC_LANES) % 4 in the main loop,
 * and of the first accumulator behind it, so that pairs which share ACC add
 * in the same order and agree to the last bit on equal values.
 */
#define ANN_PASTE_(x, y) x##y
#define ANN_PASTE(x, y) ANN_PASTE_(x, y)
#define ACC_(op) ANN_PASTE(ACC, op)
#define KERNEL(op) ANN_PASTE(op, PAIR)
#define LANES ACC_(_LANES)
#define LOAD_A(i) ACC_(ANN_PASTE(_load_, A)) (a + (i))
#define LOAD_B(i) ACC_(ANN_PASTE(_load_, B)) (b + (i))
#define TAIL_A(i) ACC_(ANN_PASTE(ANN_PASTE(_load_, A), _tail)) (a + (i), (int) (n - (i)))
#define TAIL_B(i) ACC_(ANN_PASTE(ANN_PASTE(_load_, B), _tail)) (b + (i), (int) (n - (i)))

/* One pass over both operands that adds STEP of each pair of elements. */
#define ONE_PASS(STEP) \
	const A    *a = va; \
	const B    *b = vb; \
	ACC_(_acc) s0 = ACC_(_zero) (); \
	ACC_(_acc) s1 = s0; \
	ACC_(_acc) s2 = s0; \
	ACC_(_acc) s3 = s0; \
	size_t		n = dim; \
	size_t		i = 0; \
	for (; i + 4 * LANES <= n; i += 4 * LANES) \
	{ \
		s0 = STEP(s0, LOAD_A(i), LOAD_B(i)); \
		s1 = STEP(s1, LOAD_A(i + LANES), LOAD_B(i + LANES)); \
		s2 = STEP(s2, LOAD_A(i + 2 * LANES), LOAD_B(i + 2 * LANES)); \
		s3 = STEP(s3, LOAD_A(i + 3 * LANES), LOAD_B(i + 3 * LANES)); \
	} \
	for (; i + LANES <= n; i += LANES) \
		s0 = STEP(s0, LOAD_A(i), LOAD_B(i)); \
	if (i < n) \
		s0 = STEP(s0, TAIL_A(i), TAIL_B(i)); \
	return ACC_(_sum) (s0, s1, s2, s3)

TARGET static double
KERNEL(l2sq_) (const void *va, const void *vb, int dim)
{
	ONE_PASS(ACC_(_l2sq));
}

TARGET static double
KERNEL(ip_) (const void *va, const void *vb, int dim)
{
	ONE_PASS(ACC_(_ip));
}

/* Add the three parts of one pair of loads to the accumulators numbered n. */
#define COSINE_STEP(n, load_a, load_b) \
	do { \
		ACC_(_vec)	x = load_a; \
		ACC_(_vec)	y = load_b; \
		ab##n = ACC_(_ip) (ab##n, x, y); \
		aa##n = ACC_(_ip) (aa##n, x, x); \
		bb##n = ACC_(_ip) (bb##n, y, y); \
	} while (0)

TARGET static void
KERNEL(cosine_) (const void *va, const void *vb, int dim, AnnCosineParts *parts)
{
	const A    *a = va;
	const B    *b = vb;
	ACC_(_acc)	zero = ACC_(_zero) ();
	ACC_(_acc)	ab0 = zero,
				ab1 = zero,
				aa0 = zero,
				aa1 = zero,
				bb0 = zero,
				bb1 = zero;
	size_t		n = dim;
	size_t		i = 0;

	/* three sums side by side: two accumulators each are enough */
	for (; i + 2 * LANES <= n; i += 2 * LANES)
	{
		COSINE_STEP(0, LOAD_A(i), LOAD_B(i));
		COSINE_STEP(1, LOAD_A(i + LANES), LOAD_B(i + LANES));
	}
	for (; i + LANES <= n; i += LANES)
		COSINE_STEP(0, LOAD_A(i), LOAD_B(i));
	if (i < n)
		COSINE_STEP(0, TAIL_A(i), TAIL_B(i));

	parts->ab = ACC_(_sum) (ab0, ab1, zero, zero);
	parts->aa = ACC_(_sum) (aa0, aa1, zero, zero);
	parts->bb = ACC_(_sum) (bb0, bb1, zero, zero);
}

#undef ANN_PASTE_
#undef ANN_PASTE
#undef ACC_
#undef KERNEL
#undef LANES
#undef LOAD_A
#undef LOAD_B
#undef TAIL_A
#undef TAIL_B
#undef ONE_PASS
#undef COSINE_STEP
#undef PAIR
#undef ACC
#undef A
#undef B
