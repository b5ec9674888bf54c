/*
 * element.c
 *	  Elements: made of vectors, measured, read, added, vacuumed, used again.
 *
 * An element that was rounded knows how much: 'error' is an upper bound of the
 * distance between its vector and the row's (both less the centre, where there
 * is one), so that distances come as intervals.  The SQL operator computes in
 * double, on the row's own vector, and rounds as well; its rounding is within the
 * intervals, too.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "algo/centre.h"
#include "algo/distance.h"
#include "algo/scalar.h"
#include "miscadmin.h"
#include "store/element.h"
#include "store/recent.h"

/* Vectors are encoded and compared in parts of so many dimensions. */
#define PART_DIMENSIONS 256

/*
 * A bound of the relative rounding error of a sum over 'dim' products of the
 * same sign, of two such sums, and of what is done with them.
 */
#define SUM_ROUNDING(dim) (((dim) + 32) * DBL_EPSILON)

/* Where squares may be lost to underflow, or sums to overflow. */
#define LOST_SQUARES(dim) ((dim) * 1e-161)
#define MAX_EXACT_DISTANCE 1e154
#define MIN_EXACT_NORM2 1e-290
#define MAX_EXACT_NORM2 1e290


/* ---- Encoding ----------------------------------------------------------- */

/*
 * Are vectors stored less the centre?  Those that keep the precision of the table
 * are not: their distances are to be the operator's to the last bit.
 */
static bool
is_centred(const AnnIndex *index)
{
	return index->centre != NULL &&
		(index->meta.scalar == ANN_SCALAR_F16 || index->meta.scalar == ANN_SCALAR_I8);
}

/* A part of a vector as floats: the vector itself, or rounded to 'room'. */
static const float *
part_floats(const void *vector, bool is_double, int start, int count, float *room)
{
	if (!is_double)
		return (const float *) vector + start;
	ann_f32_encode((const double *) vector + start, count, room);
	return room;
}

/* The exponent that a vector is to be stored with. */
static int
choose_exponent(AnnScalar scalar, const void *vector, bool is_double, int dim)
{
	float		room[PART_DIMENSIONS];
	float		max = 0;

	if (scalar != ANN_SCALAR_F16 && scalar != ANN_SCALAR_I8)
		return 0;
	for (int start = 0; start < dim; start += PART_DIMENSIONS)
	{
		int			count = Min(dim - start, PART_DIMENSIONS);
		float		part_max = ann_max_abs(part_floats(vector, is_double, start,
													   count, room), count);

		max = Max(max, part_max);
	}
	return scalar == ANN_SCALAR_F16 ? ann_f16_exponent(max) : ann_i8_exponent(max);
}

/* Store 'count' dimensions from 'start' on. */
static void
encode_part(AnnScalar scalar, const void *vector, bool is_double, int start,
			int count, AnnElement *element)
{
	float		room[PART_DIMENSIONS];
	const float *x;

	if (scalar == ANN_SCALAR_F64 && is_double)
	{
		memcpy((float8 *) element->vector + start, (const float8 *) vector + start,
			   sizeof(float8) * count);
		return;
	}
	x = part_floats(vector, is_double, start, count, room);
	switch (scalar)
	{
		case ANN_SCALAR_F64:
			for (int i = 0; i < count; i++)
				((float8 *) element->vector)[start + i] = x[i];
			break;
		case ANN_SCALAR_F32:
			memcpy((float4 *) element->vector + start, x, sizeof(float4) * count);
			break;
		case ANN_SCALAR_F16:
			ann_f16_encode(x, count, element->exponent,
						   (AnnHalf *) element->vector + start);
			break;
		case ANN_SCALAR_I8:
			ann_i8_encode(x, count, element->exponent,
						  (int8_t *) element->vector + start);
			break;
		case ANN_SCALAR_NONE:
			break;
	}
}

/*
 * 'count' dimensions from 'start' on, as floats: where they are stored as such,
 * or decoded to 'room'.
 */
static const float *
decode_part(AnnScalar scalar, const AnnElement *element, int start, int count,
			float *room)
{
	switch (scalar)
	{
		case ANN_SCALAR_F64:
			ann_f32_encode((const double *) element->vector + start, count, room);
			break;
		case ANN_SCALAR_F32:
			return (const float *) element->vector + start;
		case ANN_SCALAR_F16:
			ann_f16_decode((const AnnHalf *) element->vector + start, count,
						   element->exponent, room);
			break;
		case ANN_SCALAR_I8:
			ann_i8_decode((const int8_t *) element->vector + start, count,
						  element->exponent, room);
			break;
		case ANN_SCALAR_NONE:
			elog(ERROR, "an element without vector was read");
	}
	return room;
}

void
ann_element_floats(const AnnIndex *index, const AnnElement *element, float *result)
{
	AnnScalar	scalar = index->meta.scalar;
	int			dim = index->meta.dim;
	const float *floats;

	if (index->centre != NULL && !is_centred(index))
	{
		ann_centred_floats(element->vector, scalar == ANN_SCALAR_F64, index->centre, dim,
						   result);
		return;
	}
	floats = decode_part(scalar, element, 0, dim, result);
	if (floats != result)
		memcpy(result, floats, sizeof(float) * dim);
}


/* ---- Rounding errors ---------------------------------------------------- */

/* How a row's vector x and the stored one s lie to one another. */
typedef struct Rounding
{
	bool		exact;			/* equal in every dimension */
	double		difference2;	/* |x - s|^2 */
	double		row2;			/* |x|^2 */
	double		stored2;		/* |s|^2 */
} Rounding;

/* Squares of tiny differences may be zero though the differences are not. */
static bool
all_equal(const float *stored, const double *x, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (stored[i] != x[i])
			return false;
	}
	return true;
}

static void
measure_rounding(const AnnIndex *index, const void *vector, bool is_double,
				 const AnnElement *element, Rounding *r)
{
	AnnPair		mixed = is_double ? ANN_PAIR_F32_F64 : ANN_PAIR_F32_F32;
	AnnPair		row = is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F32;
	Size		size = is_double ? sizeof(double) : sizeof(float);

	r->exact = true;
	r->difference2 = r->row2 = r->stored2 = 0;
	for (int start = 0; start < (int) index->meta.dim; start += PART_DIMENSIONS)
	{
		float		room[PART_DIMENSIONS];
		int			count = Min((int) index->meta.dim - start, PART_DIMENSIONS);
		const char *x = (const char *) vector + start * size;
		const float *s = decode_part(index->meta.scalar, element, start, count, room);
		double		difference2 = ann_kernels->pair[mixed].l2sq(s, x, count);

		if (difference2 != 0 ||
			(is_double && !all_equal(s, (const double *) x, count)))
			r->exact = false;
		r->difference2 += difference2;
		if (index->meta.metric == ANN_METRIC_L2)
			continue;
		r->row2 += ann_kernels->pair[row].ip(x, x, count);
		r->stored2 += ann_kernels->pair[ANN_PAIR_F32_F32].ip(s, s, count);
	}
}

/* The next float that is not below. */
static float
round_up(double value)
{
	float		result = value > FLT_MAX ? INFINITY : (float) value;

	return result < value ? nextafterf(result, INFINITY) : result;
}

/*
 * AnnElement.error.  Under inner product and cosine it covers the rounding of
 * the operator and of ann_element_distance as well, which is relative to the
 * norms and not to the distance.
 *
 * For directions: |x - s|^2 = (|x| - |s|)^2 + |x||s| |x/|x| - s/|s||^2.
 */
static float
error_bound(const AnnIndex *index, const Rounding *r)
{
	double		rounding = SUM_ROUNDING(index->meta.dim);
	double		error;

	if (r->exact)
		return 0;
	error = sqrt(r->difference2) * (1 + rounding) + LOST_SQUARES(index->meta.dim);
	switch ((AnnMetric) index->meta.metric)
	{
		case ANN_METRIC_L2:
			break;
		case ANN_METRIC_IP:
			error += (sqrt(r->row2) + sqrt(r->stored2)) * rounding;
			break;
		case ANN_METRIC_COSINE:
			/* no two directions are further apart than 2 */
			if (!(Min(r->row2, r->stored2) >= MIN_EXACT_NORM2 &&
				  Max(r->row2, r->stored2) <= MAX_EXACT_NORM2))
				return 2;
			error = error / sqrt(sqrt(r->row2) * sqrt(r->stored2)) * (1 + rounding);
			error = Min(error + rounding, 2);
			break;
	}
	return round_up(error);
}

/* Store a vector as it is. */
static void
store_vector(const AnnIndex *index, const void *vector, bool is_double,
			 AnnElement *element)
{
	AnnScalar	scalar = index->meta.scalar;
	int			dim = index->meta.dim;
	Rounding	rounding;

	element->exponent = choose_exponent(scalar, vector, is_double, dim);
	for (int start = 0; start < dim; start += PART_DIMENSIONS)
		encode_part(scalar, vector, is_double, start,
					Min(dim - start, PART_DIMENSIONS), element);
	if (scalar == ANN_SCALAR_F64 || (scalar == ANN_SCALAR_F32 && !is_double))
		return;
	measure_rounding(index, vector, is_double, element, &rounding);
	element->error = error_bound(index, &rounding);
}

/* Store a vector less the centre, as floats, which may be rounded then. */
static void
store_centred(const AnnIndex *index, const void *vector, bool is_double,
			  AnnElement *element)
{
	int			dim = index->meta.dim;
	float	   *floats = palloc(sizeof(float) * dim);
	double		error;

	ann_centred_floats(vector, is_double, index->centre, dim, floats);
	error = ann_centred_error(vector, is_double, index->centre, dim, floats);
	store_vector(index, floats, false, element);
	if (error > 0)
		element->error = round_up((element->error + error) * (1 + DBL_EPSILON));
	pfree(floats);
}

void
ann_element_make(const AnnIndex *index, const void *vector, bool is_double,
				 AnnElement *element)
{
	memset(element, 0, index->element_size);
	ItemPointerSetInvalid(&element->heap);
	ItemPointerSetInvalid(&element->more.head);
	ItemPointerSetInvalid(&element->more.tail);
	if (is_centred(index))
		store_centred(index, vector, is_double, element);
	else if (index->meta.scalar != ANN_SCALAR_NONE)
		store_vector(index, vector, is_double, element);
}


/* ---- Distances ---------------------------------------------------------- */

/* Where elements are less the centre, so is the query. */
static void
centre_query(const AnnIndex *index, AnnQuery *query)
{
	double	   *centred;

	query->centred = NULL;
	query->error = 0;
	if (!is_centred(index))
		return;
	centred = palloc(sizeof(double) * query->dim);
	query->error = ann_centred_doubles(query->values, index->centre, query->dim, centred);
	query->centred = centred;
}

AnnQuery *
ann_query_make(const AnnIndex *index, const double *values)
{
	AnnQuery   *query = palloc(sizeof(AnnQuery));
	AnnCosineParts parts;

	/* by the kernel of the operator, so that it is zero where it is there */
	ann_kernels->pair[ANN_PAIR_F64_F64].cosine(values, values, index->meta.dim, &parts);
	query->metric = index->meta.metric;
	query->dim = index->meta.dim;
	query->values = values;
	query->norm = sqrt(parts.bb);
	query->decoded = palloc(sizeof(float) * query->dim);
	centre_query(index, query);
	return query;
}

/* The operators' own formulas. */
double
ann_query_distance(const AnnQuery *query, const void *vector, bool is_double)
{
	AnnPair		pair = is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F64;
	const AnnPairKernels *kernels = &ann_kernels->pair[pair];
	AnnCosineParts parts;

	switch (query->metric)
	{
		case ANN_METRIC_L2:
			return sqrt(kernels->l2sq(vector, query->values, query->dim));
		case ANN_METRIC_COSINE:
			kernels->cosine(vector, query->values, query->dim, &parts);
			return ann_cosine_from_parts(&parts);
		case ANN_METRIC_IP:
			break;
	}
	return 0.0 - kernels->ip(vector, query->values, query->dim);
}

/* The distance of the stored vector. */
static double
stored_distance(const AnnIndex *index, const AnnQuery *query,
				const AnnElement *element)
{
	const float *stored;

	if (index->meta.scalar == ANN_SCALAR_F64)
		return ann_query_distance(query, element->vector, true);
	stored = decode_part(index->meta.scalar, element, 0, query->dim, query->decoded);
	if (query->centred != NULL)
		return sqrt(ann_kernels->pair[ANN_PAIR_F32_F64].l2sq(stored, query->centred,
															 query->dim));
	return ann_query_distance(query, stored, false);
}

/*
 * The operator's distance of a row that is at most 'error' from a stored vector
 * of distance d.  Squares that overflow or underflow are lost to either, so
 * that distances that large or small prove less.
 */
static void
l2_interval(const AnnQuery *query, double d, double error, double *low, double *high)
{
	double		rounding = SUM_ROUNDING(query->dim);
	double		lost = LOST_SQUARES(query->dim);

	*low = Max(Min(d, MAX_EXACT_DISTANCE) * (1 - rounding) - error - lost, 0);
	*high = (d + error) * (1 + 2 * rounding) + lost;
	if (*high > MAX_EXACT_DISTANCE)
		*high = INFINITY;
}

static void
cosine_interval(const AnnQuery *query, double d, double error, double *low, double *high)
{
	if (!(query->norm > 0 && query->norm <= DBL_MAX))
	{
		*low = *high = NAN;
		return;
	}

	/* d is NaN where all of the row was rounded to zero; error is 2 then */
	if (query->norm < sqrt(MIN_EXACT_NORM2) || query->norm > sqrt(MAX_EXACT_NORM2) ||
		isnan(d))
		error = d = 2;
	*low = Max(d - error, 0);
	*high = Min(d + error, 2);
}

static void
ip_interval(const AnnQuery *query, double d, double error, double *low, double *high)
{
	double		norm = query->norm * (1 + SUM_ROUNDING(query->dim)) +
		LOST_SQUARES(query->dim);
	double		radius = norm * error + DBL_MIN;

	if (!(radius <= DBL_MAX) || !(fabs(d) <= DBL_MAX))
	{
		*low = -INFINITY;
		*high = INFINITY;
		return;
	}
	*low = d - radius;
	*high = d + radius;
}

void
ann_element_distance(const AnnIndex *index, const AnnQuery *query,
					 const AnnElement *element, double *low, double *high)
{
	double		d = stored_distance(index, query, element);
	double		error = element->error + query->error;

	if (error == 0)
		*low = *high = d;
	else if (query->metric == ANN_METRIC_L2)
		l2_interval(query, d, error, low, high);
	else if (query->metric == ANN_METRIC_COSINE)
		cosine_interval(query, d, error, low, high);
	else
		ip_interval(query, d, error, low, high);
}


/* ---- Slots -------------------------------------------------------------- */

/* What an element takes of the page that it begins on. */
static Size
slot_size(const AnnIndex *info)
{
	return Min((Size) info->element_size, ANN_BODY_SIZE);
}

/* Whether it goes on in others. */
static bool
is_long(const AnnIndex *info)
{
	return (Size) info->element_size > ANN_BODY_SIZE;
}

/* How many slots of a page have been in use, dead and free ones included. */
static int
count_slots(const AnnIndex *info, Page page)
{
	return Min((int) (ann_page_used(page) / slot_size(info)), info->elements_per_page);
}

static AnnElement *
get_slot(const AnnIndex *info, Page page, int slot)
{
	return (AnnElement *) (ANN_PAGE_BODY(page) + slot * slot_size(info));
}

/* Without rows, but its codes may not be gone. */
static bool
is_dead(const AnnElement *element)
{
	return !ItemPointerIsValid(&element->heap) && !(element->state & ANN_ELEMENT_FREE);
}

/* A page of another epoch has elements of another size, which nobody wants. */
static bool
is_current(const AnnIndex *info, Page page)
{
	return info->element_size > 0 &&
		ANN_PAGE_TAIL(page)->epoch == (uint8) info->meta.epoch;
}

/* Pin and lock a page of elements.  False if it is none, or not current. */
static bool
lock_page(Relation index, const AnnIndex *info, BlockNumber block, int mode,
		  BufferAccessStrategy strategy, Buffer *buffer)
{
	if (!ann_page_try_read_by(index, block, ANN_PAGE_ELEMENT, mode, strategy, buffer))
		return false;
	if (is_current(info, BufferGetPage(*buffer)))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

/*
 * Pin and lock the page of a ref; its slot to *slot.  False if there is no such
 * element any more.
 */
static bool
lock_slot(Relation index, const AnnIndex *info, AnnElementRef ref, int mode,
		  Buffer *buffer, int *slot)
{
	*slot = ItemPointerGetOffsetNumberNoCheck(&ref) - 1;
	if (!lock_page(index, info, ItemPointerGetBlockNumberNoCheck(&ref), mode, NULL, buffer))
		return false;
	if (*slot >= 0 && *slot < count_slots(info, BufferGetPage(*buffer)))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}


/* ---- Reading ------------------------------------------------------------ */

/*
 * Read what is left of the long element in 'block', from the page 'next' on.
 * False if a page is not there.
 */
static bool
read_pages(Relation index, BlockNumber block, BlockNumber next, char *bytes, Size left)
{
	while (left > 0)
	{
		Size		part = Min(left, ANN_BODY_SIZE);
		Buffer		buffer;
		Page		page;

		/* the caller may have locked 'block' */
		if (next == InvalidBlockNumber || next == block ||
			!ann_page_try_read(index, next, ANN_PAGE_REST, BUFFER_LOCK_SHARE, &buffer))
			return false;
		page = BufferGetPage(buffer);
		memcpy(bytes, ANN_PAGE_BODY(page), part);
		next = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
		bytes += part;
		left -= part;
	}
	return true;
}

/*
 * Whether the long element of this generation is still there, so that its rest
 * was while we read it: a page whose element has died comes to have another one
 * only with another generation.
 */
static bool
is_still_there(Relation index, const AnnIndex *info, AnnElementRef ref, uint32 generation)
{
	bool		result;
	Buffer		buffer;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	result = ANN_PAGE_TAIL(BufferGetPage(buffer))->generation == generation &&
		ItemPointerIsValid(&get_slot(info, BufferGetPage(buffer), slot)->heap);
	UnlockReleaseBuffer(buffer);
	return result;
}

/* Read the rest of a long element, on whose first page 'tail' was. */
static bool
read_rest(Relation index, const AnnIndex *info, AnnElementRef ref,
		  const AnnPageTail *tail, AnnElement *element)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	bool		complete = read_pages(index, block, tail->next,
									  (char *) element + ANN_BODY_SIZE,
									  info->element_size - ANN_BODY_SIZE);

	if (!is_still_there(index, info, ref, tail->generation))
		return false;
	if (!complete)
		ann_page_corrupted(index, block, "an element without its rest");
	return true;
}

bool
ann_element_read(Relation index, const AnnIndex *info, AnnElementRef ref,
				 AnnElement *element)
{
	AnnPageTail tail;
	Buffer		buffer;
	Page		page;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	page = BufferGetPage(buffer);
	memcpy(element, get_slot(info, page, slot), slot_size(info));
	tail = *ANN_PAGE_TAIL(page);
	UnlockReleaseBuffer(buffer);
	if (!ItemPointerIsValid(&element->heap))
		return false;
	return !is_long(info) || read_rest(index, info, ref, &tail, element);
}

void
ann_element_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref)
{
	Size		size = slot_size(info);
	Size		slot = ItemPointerGetOffsetNumberNoCheck(&ref) - FirstOffsetNumber;

	ann_recent_prefetch(index, ItemPointerGetBlockNumberNoCheck(&ref), 0,
						SizeOfPageHeaderData);
	ann_recent_prefetch(index, ItemPointerGetBlockNumberNoCheck(&ref),
						SizeOfPageHeaderData + slot * size, size);
}

/* Read an element without its vector.  False if it is dead or gone. */
static bool
read_header(Relation index, const AnnIndex *info, AnnElementRef ref, AnnElement *header)
{
	Buffer		buffer;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	memcpy(header, get_slot(info, BufferGetPage(buffer), slot),
		   offsetof(AnnElement, vector));
	UnlockReleaseBuffer(buffer);
	return ItemPointerIsValid(&header->heap);
}

/* Whether no TID has moved between two readings of an element. */
static bool
same_list(const AnnElement *a, const AnnElement *b)
{
	return ann_same_tid(&a->heap, &b->heap) &&
		ann_same_tid(&a->more.head, &b->more.head) &&
		((a->state ^ b->state) & ANN_ELEMENT_VERSION) == 0;
}

/*
 * An element that comes back with other rows, because its slot is used again,
 * does no harm: a snapshot that was there before sees none of them.
 */
int
ann_element_tids(Relation index, const AnnIndex *info, AnnElementRef ref,
				 const AnnElement *element, ItemPointer *tids, int *capacity)
{
	AnnElement	before;
	AnnElement	after;

	memcpy(&before, element, offsetof(AnnElement, vector));
	if (*capacity < 1)
	{
		*capacity = 16;
		*tids = *tids == NULL ? palloc(sizeof(ItemPointerData) * *capacity)
			: repalloc(*tids, sizeof(ItemPointerData) * *capacity);
	}
	for (;;)
	{
		AnnTidBreak broken;
		int			n;

		(*tids)[0] = before.heap;
		if (!ItemPointerIsValid(&before.more.head))
			return 1;
		n = ann_tids_read(index, &before.more, tids, capacity, 1, &broken);
		if (!read_header(index, info, ref, &after))
			return 0;
		if (same_list(&before, &after))
		{
			if (ItemPointerIsValid(&broken.at))
				ann_tids_broken(index, &broken);
			return n;
		}
		before = after;
	}
}

int
ann_element_page_visit(Relation index, const AnnIndex *info, BlockNumber block,
					   BufferAccessStrategy strategy, AnnElementVisitor visit,
					   void *state)
{
	Buffer		buffer;
	Page		page;
	int			slots;

	if (!lock_page(index, info, block, BUFFER_LOCK_SHARE, strategy, &buffer))
		return 0;
	page = BufferGetPage(buffer);
	slots = count_slots(info, page);
	for (int slot = 0; slot < slots; slot++)
	{
		AnnElement *element = get_slot(info, page, slot);
		AnnElementRef ref;

		if (!ItemPointerIsValid(&element->heap))
			continue;
		ItemPointerSet(&ref, block, (OffsetNumber) (slot + 1));
		visit(ref, ANN_PAGE_TAIL(page)->chunk, element, state);
	}
	UnlockReleaseBuffer(buffer);
	return slots;
}


/* ---- Adding ------------------------------------------------------------- */

/*
 * The slot for a new element: behind the last one; where there is no room, the
 * first that is free.  Only then are they looked at.  -1 if there is none.
 */
static int
choose_slot(const AnnIndex *info, Page page)
{
	int			slots = count_slots(info, page);

	if (slots < info->elements_per_page)
		return slots;
	for (int slot = 0; slot < slots; slot++)
	{
		if (get_slot(info, page, slot)->state & ANN_ELEMENT_FREE)
			return slot;
	}
	return -1;
}

/* Whether a page of elements is one to add to; its slot to *slot. */
static bool
has_slot(const AnnIndex *info, Page page, uint32 chunk, int *slot)
{
	if (!is_current(info, page) || ANN_PAGE_TAIL(page)->chunk != chunk)
		return false;
	*slot = choose_slot(info, page);
	return *slot >= 0;
}

/*
 * A page with room for an element, locked exclusively, and the slot for it;
 * InvalidBuffer if none is known.  First the one that this backend used last,
 * which costs nothing.
 */
static Buffer
find_slot(Relation index, const AnnIndex *info, uint32 chunk, int *slot)
{
	BlockNumber block = RelationGetTargetBlock(index);
	Buffer		buffer;

	if (block != InvalidBlockNumber &&
		ann_page_try_read(index, block, ANN_PAGE_ELEMENT, BUFFER_LOCK_EXCLUSIVE, &buffer))
	{
		if (has_slot(info, BufferGetPage(buffer), chunk, slot))
			return buffer;
		UnlockReleaseBuffer(buffer);
	}
	for (int try = 0; try < ANN_ROOM_TRIES; try++)
	{
		buffer = ann_room_offer(index, ANN_PAGE_ELEMENT, chunk, slot_size(info));
		if (!BufferIsValid(buffer) ||
			has_slot(info, BufferGetPage(buffer), chunk, slot))
			return buffer;
		ann_room_note(index, BufferGetBlockNumber(buffer), ANN_PAGE_ELEMENT, 0);
		UnlockReleaseBuffer(buffer);
	}
	return InvalidBuffer;
}

/*
 * Write an element, or what fits its page.  Its version is another one than that
 * of whatever was there before.
 */
static void
write_slot(const AnnIndex *info, Page page, int slot, const AnnElement *element)
{
	AnnElement *place = get_slot(info, page, slot);
	uint32		version = ANN_PAGE_TAIL(page)->generation;

	if (slot < count_slots(info, page))
		version = place->state + 1;
	else
		ann_page_set_used(page, (slot + 1) * slot_size(info));
	memcpy(place, element, slot_size(info));
	place->state = (uint8) (version & ANN_ELEMENT_VERSION);
}

/* Add a new, empty page of elements to an edit. */
static Page
new_page(AnnEdit *edit, const AnnIndex *info, uint32 chunk, BlockNumber *block)
{
	Page		page = ann_edit_new(edit, ANN_PAGE_ELEMENT, chunk, block);

	ann_page_set_used(page, 0);
	ANN_PAGE_TAIL(page)->epoch = (uint8) info->meta.epoch;
	return page;
}

static AnnElementRef
add_short(Relation index, const AnnIndex *info, uint32 chunk,
		  const AnnElement *element)
{
	int			slot;
	Buffer		buffer = find_slot(index, info, chunk, &slot);
	bool		is_new = !BufferIsValid(buffer);
	AnnElementRef ref;
	AnnEdit		edit;
	BlockNumber block;
	Page		page;
	bool		has_more;

	ann_edit_begin(&edit, index);
	if (is_new)
	{
		page = new_page(&edit, info, chunk, &block);
		slot = 0;
	}
	else
	{
		block = BufferGetBlockNumber(buffer);
		page = ann_edit_add(&edit, buffer);
	}
	write_slot(info, page, slot, element);
	has_more = choose_slot(info, page) >= 0;
	ann_edit_commit(&edit);

	/* The map is told when a page comes to have room, and when it has none. */
	RelationSetTargetBlock(index, has_more ? block : InvalidBlockNumber);
	if (is_new || !has_more)
		ann_room_record(index, block, ANN_PAGE_ELEMENT,
						has_more ? slot_size(info) : 0);
	ItemPointerSet(&ref, block, (OffsetNumber) (slot + 1));
	return ref;
}

/* Pages of the rest are written from the last to the first, then the element. */
static AnnElementRef
add_long(Relation index, const AnnIndex *info, uint32 chunk,
		 const AnnElement *element)
{
	Size		left = info->element_size;
	BlockNumber next = InvalidBlockNumber;
	AnnElementRef ref;

	ann_structure_lock(index, ShareLock);
	while (left > 0)
	{
		Size		start = (left - 1) / ANN_BODY_SIZE * ANN_BODY_SIZE;
		AnnEdit		edit;
		BlockNumber block;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		ann_edit_begin(&edit, index);
		if (start > 0)
		{
			page = ann_edit_new(&edit, ANN_PAGE_REST, chunk, &block);
			memcpy(ANN_PAGE_BODY(page), (const char *) element + start, left - start);
			ann_page_set_used(page, left - start);
		}
		else
		{
			page = new_page(&edit, info, chunk, &block);
			write_slot(info, page, 0, element);
		}
		ANN_PAGE_TAIL(page)->next = next;
		ann_edit_commit(&edit);
		next = block;
		left = start;
	}
	ann_structure_unlock(index, ShareLock);
	ItemPointerSet(&ref, next, FirstOffsetNumber);
	return ref;
}

AnnElementRef
ann_element_add(Relation index, const AnnIndex *info, uint32 chunk,
				const AnnElement *element)
{
	Assert(ItemPointerIsValid(&element->heap));
	if (is_long(info))
		return add_long(index, info, chunk, element);
	return add_short(index, info, chunk, element);
}

/* Raise the error of an element, whose page is locked and stays so. */
static void
raise_error(Relation index, const AnnIndex *info, Buffer buffer, int slot,
			float error)
{
	AnnEdit		edit;

	ann_edit_begin(&edit, index);
	get_slot(info, ann_edit_add(&edit, buffer), slot)->error = error;
	ann_edit_commit_keeping(&edit, buffer);
}

/* The same for what an element has in its rest; its page is locked. */
static bool
same_rest(Relation index, const AnnIndex *info, Buffer buffer, const AnnElement *row)
{
	Size		size = info->element_size - ANN_BODY_SIZE;
	BlockNumber block = BufferGetBlockNumber(buffer);
	BlockNumber next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
	char	   *rest = palloc(size);
	bool		result;

	if (!read_pages(index, block, next, rest, size))
		ann_page_corrupted(index, block, "an element without its rest");
	result = memcmp(rest, (const char *) row + ANN_BODY_SIZE, size) == 0;
	pfree(rest);
	return result;
}

/* Whether a stored element, whose page is locked, has the vector of a row. */
static bool
same_vector(Relation index, const AnnIndex *info, Buffer buffer,
			const AnnElement *stored, const AnnElement *row)
{
	if (stored->exponent != row->exponent ||
		memcmp(stored->vector, row->vector,
			   slot_size(info) - offsetof(AnnElement, vector)) != 0)
		return false;
	return !is_long(info) || same_rest(index, info, buffer, row);
}

bool
ann_element_add_row(Relation index, const AnnIndex *info, uint32 chunk,
					AnnElementRef ref, const AnnElement *row)
{
	ItemPointerData tid = row->heap;
	AnnElement *element;
	Buffer		buffer;
	Page		page;
	int			slot;

	Assert(ItemPointerIsValid(&tid));
	if (info->meta.scalar == ANN_SCALAR_NONE ||
		!lock_slot(index, info, ref, BUFFER_LOCK_EXCLUSIVE, &buffer, &slot))
		return false;
	page = BufferGetPage(buffer);
	element = get_slot(info, page, slot);
	if (!ItemPointerIsValid(&element->heap) || ANN_PAGE_TAIL(page)->chunk != chunk ||
		!same_vector(index, info, buffer, element, row))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}

	/* The error first: too large a one does no harm if the row fails to come. */
	if (element->error < row->error)
		raise_error(index, info, buffer, slot, row->error);
	ann_tids_append(index, chunk, buffer, (char *) &element->more - (char *) page, &tid);
	return true;
}


/* ---- Vacuum: removing TIDs ---------------------------------------------- */

/* Vacuum an element and its list, and count it. */
static void
vacuum_element(AnnVacuum *vacuum, Buffer buffer, AnnElement *element, bool *dies)
{
	AnnTidOwner owner;
	bool		gone;

	*dies = false;
	if (ItemPointerIsValid(&element->heap))
	{
		gone = ann_vacuum_is_gone(vacuum, &element->heap);
		*dies = gone && !ItemPointerIsValid(&element->more.head);
		if (ItemPointerIsValid(&element->more.head))
		{
			owner.buffer = buffer;
			owner.at = (char *) element - (char *) BufferGetPage(buffer);
			owner.list = offsetof(AnnElement, more);
			owner.is_element = true;
			ann_tids_vacuum(vacuum, &owner, gone);
		}
	}
	if (*dies || is_dead(element))
		vacuum->dead++;
	else if (ItemPointerIsValid(&element->heap))
		vacuum->elements++;
}

/* Declare elements without a list dead, in one edit; their page stays locked. */
static void
kill_elements(Relation index, const AnnIndex *info, Buffer buffer, const bool *dies,
			  int slots)
{
	AnnEdit		edit;
	Page		page;

	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	for (int slot = 0; slot < slots; slot++)
	{
		if (dies[slot])
			ItemPointerSetInvalid(&get_slot(info, page, slot)->heap);
	}
	ann_edit_commit_keeping(&edit, buffer);
}

/*
 * The page stays locked while the lists of its elements are vacuumed, so that
 * no row is added to one that is about to be declared dead.
 */
void
ann_element_page_vacuum(AnnVacuum *vacuum, const AnnIndex *info, BlockNumber block)
{
	bool		dies[ANN_MAX_PAGE_ELEMENTS];
	bool		any = false;
	bool		has_room;
	Buffer		buffer;
	Page		page;
	int			slots;

	if (!lock_page(vacuum->index, info, block, BUFFER_LOCK_EXCLUSIVE, vacuum->strategy,
				   &buffer))
		return;
	page = BufferGetPage(buffer);
	slots = count_slots(info, page);
	for (int slot = 0; slot < slots; slot++)
	{
		vacuum_element(vacuum, buffer, get_slot(info, page, slot), &dies[slot]);
		any |= dies[slot];
	}
	if (any)
		kill_elements(vacuum->index, info, buffer, dies, slots);

	/* The map forgets in a crash; this is where it learns again. */
	has_room = choose_slot(info, page) >= 0;
	UnlockReleaseBuffer(buffer);
	if (has_room)
		ann_room_note(vacuum->index, block, ANN_PAGE_ELEMENT, slot_size(info));
}


/* ---- Vacuum: giving back slots ------------------------------------------ */

int
ann_element_page_dead(Relation index, const AnnIndex *info, BlockNumber block,
					  BufferAccessStrategy strategy, uint16 *slots, int *live)
{
	Buffer		buffer;
	Page		page;
	int			count;
	int			n = 0;

	*live = 0;
	if (!lock_page(index, info, block, BUFFER_LOCK_SHARE, strategy, &buffer))
		return 0;
	page = BufferGetPage(buffer);
	count = count_slots(info, page);
	for (int slot = 0; slot < count; slot++)
	{
		const AnnElement *element = get_slot(info, page, slot);

		if (is_dead(element))
			slots[n++] = (uint16) slot;
		else if (ItemPointerIsValid(&element->heap))
			(*live)++;
	}
	UnlockReleaseBuffer(buffer);
	return n;
}

/* The first page of the rest of the long element in a page, or none. */
static BlockNumber
first_rest_page(Relation index, const AnnIndex *info, BlockNumber block)
{
	BlockNumber next = InvalidBlockNumber;
	Buffer		buffer;

	if (!is_long(info) ||
		!lock_page(index, info, block, BUFFER_LOCK_SHARE, NULL, &buffer))
		return next;
	if (count_slots(info, BufferGetPage(buffer)) > 0)
		next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
	UnlockReleaseBuffer(buffer);
	return next;
}

static bool
contains(const BlockNumber *pages, int n, BlockNumber page)
{
	for (int i = 0; i < n; i++)
	{
		if (pages[i] == page)
			return true;
	}
	return false;
}

int
ann_element_rest_pages(Relation index, const AnnIndex *info, BlockNumber block,
					   BlockNumber *pages)
{
	int			needed = (int) ((info->element_size - 1) / ANN_BODY_SIZE);
	BlockNumber next = first_rest_page(index, info, block);
	int			n = 0;

	while (n < needed && next != InvalidBlockNumber)
	{
		Buffer		buffer;

		if (contains(pages, n, next))
			ann_page_corrupted(index, block, "an element whose rest leads back to block %u,",
							   next);
		if (!ann_page_try_read(index, next, ANN_PAGE_REST, BUFFER_LOCK_SHARE, &buffer))
			break;
		pages[n++] = next;
		next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
	}
	return n;
}

/* Free the rest of an element that is no more.  The pages are all different. */
static void
free_rest(Relation index, const BlockNumber *pages, int n)
{
	while (n > 0)
	{
		int			part = Min(n, MAX_GENERIC_XLOG_PAGES);
		AnnEdit		edit;

		ann_edit_begin(&edit, index);
		for (int i = 0; i < part; i++)
			ann_edit_free(ann_edit_add(&edit, ann_page_read(index, pages[i], ANN_PAGE_REST,
															BUFFER_LOCK_EXCLUSIVE)));
		ann_edit_commit(&edit);
		for (int i = 0; i < part; i++)
			ann_room_note(index, pages[i], ANN_PAGE_FREE, BLCKSZ);
		pages += part;
		n -= part;
	}
}

/*
 * Free those of the given slots that are dead, on a page of an edit.  Returns
 * how many.
 */
static int
free_slots(const AnnIndex *info, Page page, const uint16 *slots, int n)
{
	int			count = count_slots(info, page);
	int			freed = 0;

	for (int i = 0; i < n; i++)
	{
		AnnElement *element;

		if (slots[i] >= count)
			continue;
		element = get_slot(info, page, slots[i]);
		if (is_dead(element) && !ItemPointerIsValid(&element->more.head))
		{
			element->state |= ANN_ELEMENT_FREE;
			freed++;
		}
	}
	return freed;
}

static bool
all_free(const AnnIndex *info, Page page)
{
	int			count = count_slots(info, page);

	for (int slot = 0; slot < count; slot++)
	{
		if (!(get_slot(info, page, slot)->state & ANN_ELEMENT_FREE))
			return false;
	}
	return true;
}

void
ann_element_page_release(Relation index, const AnnIndex *info, BlockNumber block,
						 BufferAccessStrategy strategy, const uint16 *slots, int n)
{
	BlockNumber rest[ANN_MAX_REST_PAGES];
	int			rest_pages = ann_element_rest_pages(index, info, block, rest);
	bool		is_free;
	AnnEdit		edit;
	Buffer		buffer;
	Page		page;

	if (!lock_page(index, info, block, BUFFER_LOCK_EXCLUSIVE, strategy, &buffer))
		return;
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	if (free_slots(info, page, slots, n) == 0)
	{
		ann_edit_abort(&edit);
		return;
	}
	is_free = all_free(info, page);
	if (is_free)
		ann_edit_free(page);
	ann_edit_commit(&edit);
	ann_room_note(index, block, is_free ? ANN_PAGE_FREE : ANN_PAGE_ELEMENT,
				  slot_size(info));
	if (is_free)
		free_rest(index, rest, rest_pages);
}
