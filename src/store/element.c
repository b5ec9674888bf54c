/*
 * element.c
 *	  Elements: made of vectors, measured, read, added, vacuumed.
 *
 * An element that was rounded knows how much: 'error' is an upper bound of the
 * distance between its vector and the row's, so that distances come as
 * intervals.  The SQL operator computes in double, on the row's own vector, and
 * rounds as well; its rounding is within the intervals, too.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "algo/distance.h"
#include "algo/scalar.h"
#include "miscadmin.h"
#include "storage/freespace.h"
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
	const float *floats = decode_part(index->meta.scalar, element, 0,
									  index->meta.dim, result);

	if (floats != result)
		memcpy(result, floats, sizeof(float) * index->meta.dim);
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

void
ann_element_make(const AnnIndex *index, const void *vector, bool is_double,
				 AnnElement *element)
{
	AnnScalar	scalar = index->meta.scalar;
	int			dim = index->meta.dim;
	Rounding	rounding;

	memset(element, 0, index->element_size);
	ItemPointerSetInvalid(&element->heap);
	ItemPointerSetInvalid(&element->more.head);
	ItemPointerSetInvalid(&element->more.tail);
	if (scalar == ANN_SCALAR_NONE)
		return;
	element->exponent = choose_exponent(scalar, vector, is_double, dim);
	for (int start = 0; start < dim; start += PART_DIMENSIONS)
		encode_part(scalar, vector, is_double, start,
					Min(dim - start, PART_DIMENSIONS), element);
	if (scalar == ANN_SCALAR_F64 || (scalar == ANN_SCALAR_F32 && !is_double))
		return;
	measure_rounding(index, vector, is_double, element, &rounding);
	element->error = error_bound(index, &rounding);
}


/* ---- Distances ---------------------------------------------------------- */

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
	if (index->meta.scalar == ANN_SCALAR_F64)
		return ann_query_distance(query, element->vector, true);
	return ann_query_distance(query, decode_part(index->meta.scalar, element, 0,
												 query->dim, query->decoded), false);
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

	if (element->error == 0)
		*low = *high = d;
	else if (query->metric == ANN_METRIC_L2)
		l2_interval(query, d, element->error, low, high);
	else if (query->metric == ANN_METRIC_COSINE)
		cosine_interval(query, d, element->error, low, high);
	else
		ip_interval(query, d, element->error, low, high);
}


/* ---- Slots -------------------------------------------------------------- */

/* What an element takes of the page that it begins on. */
static Size
slot_size(const AnnIndex *info)
{
	return Min((Size) info->element_size, ANN_BODY_SIZE);
}

/* How many slots of a page are in use, dead ones included. */
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

/*
 * Pin and lock the page of a ref; its slot to *slot.  False if there is no such
 * element any more.
 */
static bool
lock_slot(Relation index, const AnnIndex *info, AnnElementRef ref, int mode,
		  Buffer *buffer, int *slot)
{
	*slot = ItemPointerGetOffsetNumberNoCheck(&ref) - 1;
	if (!ann_page_try_read(index, ItemPointerGetBlockNumberNoCheck(&ref),
						   ANN_PAGE_ELEMENT, mode, buffer))
		return false;
	if (*slot >= 0 && *slot < count_slots(info, BufferGetPage(*buffer)))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}


/* ---- Reading ------------------------------------------------------------ */

/* Read what is left of a long element, from the page 'next' on. */
static bool
read_rest(Relation index, BlockNumber next, char *bytes, Size left)
{
	while (left > 0)
	{
		Size		part = Min(left, ANN_BODY_SIZE);
		Buffer		buffer;
		Page		page;

		if (next == InvalidBlockNumber ||
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

bool
ann_element_read(Relation index, const AnnIndex *info, AnnElementRef ref,
				 AnnElement *element)
{
	Size		size = slot_size(info);
	BlockNumber next;
	Buffer		buffer;
	Page		page;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	page = BufferGetPage(buffer);
	memcpy(element, get_slot(info, page, slot), size);
	next = ANN_PAGE_TAIL(page)->next;
	UnlockReleaseBuffer(buffer);
	return ItemPointerIsValid(&element->heap) &&
		read_rest(index, next, (char *) element + size, info->element_size - size);
}

void
ann_element_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref)
{
	Size		size = Min(info->element_size, ANN_BODY_SIZE);
	Size		slot = ItemPointerGetOffsetNumberNoCheck(&ref) - FirstOffsetNumber;

	ann_recent_prefetch(index, ItemPointerGetBlockNumberNoCheck(&ref), 0,
						SizeOfPageHeaderData);
	ann_recent_prefetch(index, ItemPointerGetBlockNumberNoCheck(&ref),
						SizeOfPageHeaderData + slot * size, size);
}

/*
 * Vacuum may have put a TID of the list in the place of a dead heap TID, and
 * has left it in the list for those who had read the element before.
 */
int
ann_element_tids(Relation index, const AnnElement *element, ItemPointer *tids,
				 int *capacity)
{
	int			n;
	int			kept = 1;

	if (*capacity < 1)
	{
		*capacity = 16;
		*tids = *tids == NULL ? palloc(sizeof(ItemPointerData) * *capacity)
			: repalloc(*tids, sizeof(ItemPointerData) * *capacity);
	}
	(*tids)[0] = element->heap;
	n = ann_tids_read(index, &element->more, tids, capacity, 1);
	for (int i = 1; i < n; i++)
	{
		if (!ann_same_tid(&(*tids)[i], &element->heap))
			(*tids)[kept++] = (*tids)[i];
	}
	return kept;
}

int
ann_element_page_visit(Relation index, const AnnIndex *info, BlockNumber block,
					   BufferAccessStrategy strategy, AnnElementVisitor visit,
					   void *state)
{
	Buffer		buffer;
	Page		page;
	int			slots;

	if (!ann_page_try_read_by(index, block, ANN_PAGE_ELEMENT, BUFFER_LOCK_SHARE,
							  strategy, &buffer))
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
 * A page that has a free slot, locked exclusively; InvalidBuffer if none is
 * known.  First the one that this backend used last, which costs nothing.
 */
static Buffer
find_slot(Relation index, const AnnIndex *info, uint32 chunk)
{
	BlockNumber block = RelationGetTargetBlock(index);
	Size		size = slot_size(info);
	Buffer		buffer;
	Page		page;

	if (block != InvalidBlockNumber &&
		ann_page_try_read(index, block, ANN_PAGE_ELEMENT, BUFFER_LOCK_EXCLUSIVE, &buffer))
	{
		page = BufferGetPage(buffer);
		if (ann_page_room(page) >= size && ANN_PAGE_TAIL(page)->chunk == chunk)
			return buffer;
		UnlockReleaseBuffer(buffer);
	}
	return ann_room_find(index, ANN_PAGE_ELEMENT, chunk, size);
}

static AnnElementRef
add_short(Relation index, const AnnIndex *info, uint32 chunk,
		  const AnnElement *element)
{
	Buffer		buffer = find_slot(index, info, chunk);
	bool		is_new = !BufferIsValid(buffer);
	AnnElementRef ref;
	AnnEdit		edit;
	BlockNumber block;
	Page		page;
	Size		room;
	int			slot;

	ann_edit_begin(&edit, index);
	if (is_new)
	{
		page = ann_edit_new(&edit, ANN_PAGE_ELEMENT, chunk, &block);
		ann_page_set_used(page, 0);
	}
	else
	{
		block = BufferGetBlockNumber(buffer);
		page = ann_edit_add(&edit, buffer);
	}
	slot = count_slots(info, page);
	memcpy(get_slot(info, page, slot), element, info->element_size);
	ann_page_set_used(page, (slot + 1) * slot_size(info));
	room = ann_page_room(page);
	ann_edit_commit(&edit);

	/* The map is told when a page comes to have room, and when it has none. */
	RelationSetTargetBlock(index, block);
	if (is_new || room < slot_size(info))
		ann_room_record(index, block, ANN_PAGE_ELEMENT,
						room < slot_size(info) ? 0 : room);
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

	while (left > 0)
	{
		Size		start = (left - 1) / ANN_BODY_SIZE * ANN_BODY_SIZE;
		AnnPageKind kind = start > 0 ? ANN_PAGE_REST : ANN_PAGE_ELEMENT;
		AnnEdit		edit;
		BlockNumber block;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		ann_edit_begin(&edit, index);
		page = ann_edit_new(&edit, kind, chunk, &block);
		memcpy(ANN_PAGE_BODY(page), (const char *) element + start, left - start);
		ann_page_set_used(page, left - start);
		ANN_PAGE_TAIL(page)->next = next;
		ann_edit_commit(&edit);
		next = block;
		left = start;
	}
	ItemPointerSet(&ref, next, FirstOffsetNumber);
	return ref;
}

AnnElementRef
ann_element_add(Relation index, const AnnIndex *info, uint32 chunk,
				const AnnElement *element)
{
	Assert(ItemPointerIsValid(&element->heap));
	if ((Size) info->element_size > ANN_BODY_SIZE)
		return add_long(index, info, chunk, element);
	return add_short(index, info, chunk, element);
}

/* Raise the error of an element, whose page is locked and stays so. */
static void
raise_error(Relation index, const AnnIndex *info, Buffer buffer, int slot,
			float error)
{
	AnnEdit		edit;

	IncrBufferRefCount(buffer);
	ann_edit_begin(&edit, index);
	get_slot(info, ann_edit_add(&edit, buffer), slot)->error = error;
	ann_edit_commit(&edit);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
}

bool
ann_element_add_row(Relation index, const AnnIndex *info, uint32 chunk,
					AnnElementRef ref, ItemPointer tid, float rounding)
{
	AnnElement *element;
	Buffer		buffer;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_EXCLUSIVE, &buffer, &slot))
		return false;

	/* The error first: too large a one does no harm if the row fails to come. */
	element = get_slot(info, BufferGetPage(buffer), slot);
	if (ItemPointerIsValid(&element->heap) && element->error < rounding)
		raise_error(index, info, buffer, slot, rounding);
	if (!ItemPointerIsValid(&element->heap))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	ann_tids_append(index, chunk, buffer,
					(char *) &element->more - (char *) BufferGetPage(buffer), tid);
	return true;
}


/* ---- Vacuum ------------------------------------------------------------- */

/* Vacuum the TIDs of an element; what its heap TID is to be, to *heap. */
static void
vacuum_element(AnnVacuum *vacuum, AnnElement *element, ItemPointer heap)
{
	bool		gone;
	ItemPointerData survivor;

	*heap = element->heap;
	if (!ItemPointerIsValid(heap))
	{
		vacuum->dead++;
		return;
	}
	gone = vacuum->callback(heap, vacuum->state);
	if (gone)
		vacuum->removed++;
	else
		vacuum->kept++;
	ann_tids_vacuum(vacuum, &element->more, &element->heap, gone, &survivor);
	if (gone)
		*heap = survivor;
	if (ItemPointerIsValid(heap))
		vacuum->elements++;
	else
		vacuum->dead++;
}

/*
 * The page stays locked while the lists of its elements are vacuumed, so that
 * no row is added to one that is about to be declared dead.
 */
void
ann_element_page_vacuum(AnnVacuum *vacuum, const AnnIndex *info, BlockNumber block)
{
	ItemPointerData heap[ANN_BODY_SIZE / offsetof(AnnElement, vector)];
	bool		changed = false;
	AnnEdit		edit;
	Buffer		buffer;
	Page		page;
	int			slots;

	if (!ann_page_try_read_by(vacuum->index, block, ANN_PAGE_ELEMENT,
							  BUFFER_LOCK_EXCLUSIVE, vacuum->strategy, &buffer))
		return;
	page = BufferGetPage(buffer);
	slots = count_slots(info, page);
	for (int slot = 0; slot < slots; slot++)
	{
		AnnElement *element = get_slot(info, page, slot);

		vacuum_element(vacuum, element, &heap[slot]);
		if (!ann_same_tid(&heap[slot], &element->heap))
			changed = true;
	}
	if (!changed)
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	ann_edit_begin(&edit, vacuum->index);
	page = ann_edit_add(&edit, buffer);
	for (int slot = 0; slot < slots; slot++)
		get_slot(info, page, slot)->heap = heap[slot];
	ann_edit_commit(&edit);
}
