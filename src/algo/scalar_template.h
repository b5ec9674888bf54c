/*
 * scalar_template.h
 *	  The kernels of scalar_isa.h in one width; included once per width by
 *	  scalar.c.  (No include guard: it is a template.)
 *
 * The including file defines:
 *
 *	 WIDTH			suffix of all names, and name of the table
 *	 TARGET			function attribute that allows the instruction set
 *	 LANES			how many elements an operation takes
 *	 Floats			type of LANES floats
 *	 set_WIDTH(x)			x in all lanes
 *	 load_f32_WIDTH(p)		and load_f16, load_i8: elements as floats
 *	 store_f32_WIDTH(p, v)	and store_f16, store_i8: rounded
 *	 mul_WIDTH(v, w), min_WIDTH(v, w), max_WIDTH(v, w), abs_WIDTH(v)
 *
 * What is left behind the last whole vector goes through a buffer.
 */
#define PASTE_(x, y) x##_##y
#define PASTE(x, y) PASTE_(x, y)
#define OP(name) PASTE(name, WIDTH)

/* Out of place: the elements of type In as type Out, by STEP. */
#define CONVERT(In, Out, STEP) \
	int			i = 0; \
	for (; i + LANES <= n; i += LANES) \
		STEP(x + i, out + i); \
	if (i < n) \
	{ \
		In			in_tail[LANES] = {0}; \
		Out			out_tail[LANES]; \
		memcpy(in_tail, x + i, sizeof(In) * (size_t) (n - i)); \
		STEP(in_tail, out_tail); \
		memcpy(out + i, out_tail, sizeof(Out) * (size_t) (n - i)); \
	}

#define CUT(p) \
	OP(max) (OP(min) (OP(mul) (OP(load_f32) (p), factor), high), low)

TARGET static void
OP(f16_encode) (const float *x, int n, float scale, float limit, AnnHalf *out)
{
	Floats		factor = OP(set) (scale);
	Floats		high = OP(set) (limit);
	Floats		low = OP(set) (-limit);

#define STEP(from, to) OP(store_f16) (to, CUT(from))
	CONVERT(float, AnnHalf, STEP)
#undef STEP
}

TARGET static void
OP(f16_decode) (const AnnHalf *x, int n, float scale, float *out)
{
	Floats		factor = OP(set) (scale);

#define STEP(from, to) OP(store_f32) (to, OP(mul) (OP(load_f16) (from), factor))
	CONVERT(AnnHalf, float, STEP)
#undef STEP
}

TARGET static void
OP(i8_encode) (const float *x, int n, float scale, float limit, int8_t *out)
{
	Floats		factor = OP(set) (scale);
	Floats		high = OP(set) (limit);
	Floats		low = OP(set) (-limit);

#define STEP(from, to) OP(store_i8) (to, CUT(from))
	CONVERT(float, int8_t, STEP)
#undef STEP
}

TARGET static void
OP(i8_decode) (const int8_t *x, int n, float scale, float *out)
{
	Floats		factor = OP(set) (scale);

#define STEP(from, to) OP(store_f32) (to, OP(mul) (OP(load_i8) (from), factor))
	CONVERT(int8_t, float, STEP)
#undef STEP
}

/* Four maxima hide the latency. */
TARGET static float
OP(max_abs) (const float *x, int n)
{
	Floats		max0 = OP(set) (0);
	Floats		max1 = max0;
	Floats		max2 = max0;
	Floats		max3 = max0;
	float		lanes[LANES];
	float		result = 0;
	int			i = 0;

	for (; i + 4 * LANES <= n; i += 4 * LANES)
	{
		max0 = OP(max) (max0, OP(abs) (OP(load_f32) (x + i)));
		max1 = OP(max) (max1, OP(abs) (OP(load_f32) (x + i + LANES)));
		max2 = OP(max) (max2, OP(abs) (OP(load_f32) (x + i + 2 * LANES)));
		max3 = OP(max) (max3, OP(abs) (OP(load_f32) (x + i + 3 * LANES)));
	}
	OP(store_f32) (lanes, OP(max) (OP(max) (max0, max1), OP(max) (max2, max3)));
	for (int lane = 0; lane < LANES; lane++)
		result = lanes[lane] > result ? lanes[lane] : result;
	for (; i < n; i++)
		result = fabsf(x[i]) > result ? fabsf(x[i]) : result;
	return result;
}

const AnnScalarKernels OP(ann_scalar) = {
	.max_abs = OP(max_abs),
	.f16_encode = OP(f16_encode),
	.f16_decode = OP(f16_decode),
	.i8_encode = OP(i8_encode),
	.i8_decode = OP(i8_decode)
};

#undef PASTE_
#undef PASTE
#undef OP
#undef CONVERT
#undef CUT
#undef WIDTH
#undef TARGET
#undef LANES
#undef Floats
