/*
 * tree_pages.c
 *	  The splits and leaf entries of a forest.
 *
 * Nodes are slots of one size.  A build puts the upper part of each subtree
 * together on a page, so that the way down reads a page per several splits.
 */
#include "postgres.h"

#include <math.h>

#include "algo/forest.h"
#include "algo/quantize.h"
#include "algo/rotation.h"
#include "compat.h"
#include "miscadmin.h"
#include "store/tree_pages.h"
#include "utils/memutils.h"

/* ---- vectors ---- */

AnnTreeVector *
ann_tree_vector_alloc(const AnnIndex *info)
{
	AnnTreeVector *v = palloc0(sizeof(AnnTreeVector));

	v->tree = palloc0(sizeof(float) * info->row_dim);
	v->rotated = v->tree + info->augmented;
	v->row = palloc0(info->row_dim);
	v->plane_memory = palloc(2 * info->row_dim);
	if (info->centroid_bits == 4)
		v->centroid = palloc(info->padded);
	return v;
}

void
ann_tree_vector_rotate(const AnnIndex *info, const float *vector,
					   AnnTreeVector *result)
{
	int			dim = info->meta.dim;

	result->norm2 = ann_kernels->pair[ANN_PAIR_F32_F32].ip(vector, vector, dim);
	ann_rotate(info->rotation, vector, result->rotated);
	if (info->meta.metric == ANN_METRIC_COSINE && result->norm2 > 0)
	{
		float		inverse = (float) (1 / sqrt(result->norm2));

		for (int i = 0; i < info->padded; i++)
			result->rotated[i] *= inverse;
	}
}

/* What is in front of 'rotated'; 'missing' is the square of the augmentation. */
static void
augment(const AnnIndex *info, double missing, AnnTreeVector *result)
{
	float		share = missing > 0 ? (float) sqrt(missing / ANN_AUGMENTED_DIMENSIONS) : 0;

	for (int i = 0; i < info->augmented; i++)
		result->tree[i] = share;
}

/* The planes of part of a vector. */
static AnnPlanes
part_of_planes(const AnnPlanes *planes, int first, int dim)
{
	AnnPlanes	part = *planes;

	part.hi += first;
	part.lo += first;
	part.dim = dim;
	return part;
}

void
ann_tree_vector_query(const AnnIndex *info, const float *vector,
					  AnnTreeVector *result)
{
	AnnPlanes	planes;

	ann_tree_vector_rotate(info, vector, result);
	augment(info, 0, result);
	ann_planes_make(&planes, result->tree, info->row_dim, result->plane_memory);
	result->planes = part_of_planes(&planes, 0, info->tree_dim);
	result->rotated_planes = part_of_planes(&planes, info->augmented, info->padded);
}

static void
make_row(const AnnIndex *info, double missing, AnnTreeVector *result)
{
	augment(info, missing, result);
	result->scale = ann_quantize(result->tree, info->row_dim, result->row);
}

/* A row that is inserted later may be longer than all rows of the build. */
void
ann_tree_vector_project_row(const AnnIndex *info, AnnTreeVector *result)
{
	double		max_norm = info->max_norm;

	make_row(info, max_norm * max_norm - result->norm2, result);
}

void
ann_tree_vector_row(const AnnIndex *info, const float *vector,
					AnnTreeVector *result)
{
	ann_tree_vector_rotate(info, vector, result);
	ann_tree_vector_project_row(info, result);
}

/* ---- centroids ---- */

void
ann_node_set_centroid(const AnnIndex *info, const float *centroid, AnnNode *node)
{
	const float *rotated = centroid + info->augmented;
	float	   *stored = palloc(sizeof(float) * info->padded);
	double		augmented = 0;

	memset(node, 0, info->node_size);
	node->kind = ANN_NODE_LEAF;
	for (int i = 0; i < info->augmented; i++)
		augmented += (double) centroid[i] * centroid[i];
	node->u.leaf.augmented = (float) augmented;
	node->scale = info->centroid_bits == 8
		? ann_quantize(rotated, info->padded, node->vector)
		: ann_quantize_4bit(rotated, info->padded, (uint8 *) node->vector);
	ann_node_centre(info, node, stored);
	node->u.leaf.norm2 = (float) ann_kernels->pair[ANN_PAIR_F32_F32].ip(stored, stored, info->padded);
	pfree(stored);
}

/* The centroid of a leaf in bytes, which may be the node's own. */
static const int8 *
centroid_bytes(const AnnIndex *info, const AnnNode *node, int8 *scratch)
{
	if (info->centroid_bits == 8)
		return node->vector;
	ann_unpack_4bit((const uint8 *) node->vector, info->padded, scratch);
	return scratch;
}

void
ann_node_centre(const AnnIndex *info, const AnnNode *node, float *centroid)
{
	int8		scratch[ANN_MAX_DIMENSIONS];

	ann_dequantize(centroid_bytes(info, node, scratch), info->padded, node->scale, centroid);
}

void
ann_tree_vector_centroid(const AnnIndex *info, const AnnNode *node, AnnTreeVector *result)
{
	ann_node_centre(info, node, result->rotated);
	result->norm2 = node->u.leaf.norm2;
	make_row(info, node->u.leaf.augmented, result);
}

/* ---- reading ---- */

int
ann_roots_read(Relation index, const AnnChunk *chunk, AnnNodeRef **roots)
{
	BlockNumber block = chunk->roots;
	int			n = 0;

	*roots = NULL;
	while (block != InvalidBlockNumber)
	{
		Buffer		buffer = ann_page_read(index, block, ANN_PAGE_ROOTS, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		Size		bytes = ((PageHeader) page)->pd_lower - SizeOfPageHeaderData;
		int			on_page = (int) (bytes / sizeof(AnnNodeRef));

		if (bytes % sizeof(AnnNodeRef) != 0 || on_page == 0 ||
			n + on_page > ANN_MAX_ROOTS)
			ann_page_corrupted(index, block, "%zu bytes of roots", bytes);
		*roots = *roots == NULL ? palloc(bytes)
			: repalloc(*roots, sizeof(AnnNodeRef) * n + bytes);
		memcpy(*roots + n, ANN_PAGE_BODY(page), bytes);
		n += on_page;
		block = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
	}
	return n;
}

/*
 * The node of a ref on its page, which is locked; NULL if it is not there any
 * more.
 */
static const AnnNode *
get_node(Relation index, const AnnIndex *info, Page page, AnnNodeRef ref)
{
	const AnnNode *node = ann_node_slot(info, page, ref.slot);

	if ((uint16) ANN_PAGE_TAIL(page)->generation != ref.generation)
		return NULL;
	if (ref.slot >= info->nodes_per_page || node->kind > ANN_NODE_LEAF)
		ann_page_corrupted(index, ref.block, "no node in slot %u", ref.slot);
	return node->kind == ANN_NODE_NONE ? NULL : node;
}

bool
ann_node_read(Relation index, const AnnIndex *info, AnnNodeRef ref, AnnNode *result)
{
	const AnnNode *node;
	Buffer		buffer;

	if (!ann_page_try_read(index, ref.block, ANN_PAGE_NODE, BUFFER_LOCK_SHARE, &buffer))
		return false;
	node = get_node(index, info, BufferGetPage(buffer), ref);
	if (node != NULL)
		memcpy(result, node, info->node_size);
	UnlockReleaseBuffer(buffer);
	return node != NULL;
}

int
ann_node_page_slots(Relation index, const AnnIndex *info, BlockNumber block,
					uint32 generation, BufferAccessStrategy strategy, uint16 *slots)
{
	Buffer		buffer;
	Page		page;
	int			n = 0;

	if (!ann_page_try_read_by(index, block, ANN_PAGE_NODE, BUFFER_LOCK_SHARE, strategy, &buffer))
		return 0;
	page = BufferGetPage(buffer);
	if (ANN_PAGE_TAIL(page)->generation == generation)
	{
		for (int slot = 0; slot < info->nodes_per_page; slot++)
		{
			if (ann_node_slot(info, page, slot)->kind != ANN_NODE_NONE)
				slots[n++] = (uint16) slot;
		}
	}
	UnlockReleaseBuffer(buffer);
	return n;
}

/* ---- frontiers ---- */

void
ann_heap_reserve(AnnFrontier *heap, size_t n)
{
	if (heap->size + n > heap->capacity)
	{
		heap->capacity = Max(heap->capacity * 2, heap->size + n);
		heap->entries = repalloc_huge(heap->entries, sizeof(AnnCandidate) * heap->capacity);
	}
}

void
ann_heap_push(AnnFrontier *heap, float cost, uint64 item)
{
	ann_heap_reserve(heap, 1);
	ann_frontier_push(heap, cost, item);
}

/* ---- going down ---- */

/*
 * Choose a side of a split for a query, and push the other one.  The sides of
 * a coin are equally near: its margin is 0.
 */
static int
pass_split(const AnnTreeVector *v, const AnnNode *node, float cost,
		   AnnFrontier *frontier)
{
	AnnSplit	split = {node->vector, node->scale, node->u.split.offset};
	float		margin = (float) ann_planes_margin(&v->planes, &split);
	int			near = margin > 0;

	ann_heap_push(frontier, cost + margin * margin,
				  ANN_NODE_ITEM(node->u.split.child[1 - near]));
	return near;
}

/* The side of a split for a row, as in the build. */
static int
row_side(const AnnIndex *info, const AnnTreeVector *v, const AnnNode *node)
{
	AnnSplit	split = {node->vector, node->scale, node->u.split.offset};

	return ann_split_side(&split, v->row, v->scale, info->tree_dim);
}

/* What a query learns from the entry of a leaf. */
static void
measure_leaf(const AnnIndex *info, const AnnTreeVector *v, const AnnNode *node,
			 AnnLeafEntry *leaf)
{
	const int8 *centroid = centroid_bytes(info, node, v->centroid);
	double		dot = ann_planes_dot(&v->rotated_planes, centroid, node->scale);
	double		norm2 = node->u.leaf.norm2;
	double		code_norm2 = info->meta.metric == ANN_METRIC_COSINE ? 1 : v->norm2;

	leaf->d2 = (float) Max(code_norm2 + norm2 - 2 * dot, 0);
	leaf->priority = (float) Max(v->rotated_planes.norm2 + norm2 - 2 * dot, 0) +
		node->u.leaf.augmented;
}

bool
ann_tree_descend(Relation index, const AnnIndex *info, const AnnTreeVector *v,
				 AnnNodeRef ref, float cost, AnnFrontier *frontier,
				 AnnLeafEntry *leaf)
{
	Buffer		buffer;
	const AnnNode *node;
	int			depth = 0;

	if (!ann_page_try_read(index, ref.block, ANN_PAGE_NODE, BUFFER_LOCK_SHARE, &buffer))
		return false;
	node = get_node(index, info, BufferGetPage(buffer), ref);
	while (node != NULL && node->kind == ANN_NODE_SPLIT)
	{
		int			side = frontier ? pass_split(v, node, cost, frontier)
			: row_side(info, v, node);
		AnnNodeRef	next = node->u.split.child[side];

		if (++depth > ANN_TREE_MAX_DEPTH)
			ann_page_corrupted(index, ref.block, "a path of more than %d splits",
							   ANN_TREE_MAX_DEPTH);
		if (next.block != ref.block)
		{
			UnlockReleaseBuffer(buffer);
			if (!ann_page_try_read(index, next.block, ANN_PAGE_NODE,
								   BUFFER_LOCK_SHARE, &buffer))
				return false;
		}
		ref = next;
		node = get_node(index, info, BufferGetPage(buffer), ref);
	}
	if (node == NULL)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}

	leaf->node = ref;
	leaf->leaf.first = node->u.leaf.first;
	leaf->leaf.generation = node->u.leaf.generation;
	leaf->chunk = ANN_PAGE_TAIL(BufferGetPage(buffer))->chunk;
	leaf->rows = node->u.leaf.rows;
	leaf->depth = depth;
	if (frontier != NULL)
		measure_leaf(info, v, node, leaf);
	UnlockReleaseBuffer(buffer);
	return true;
}

bool
ann_leaf_centroid(Relation index, const AnnIndex *info, AnnNodeRef ref,
				  AnnLeafId leaf, float *centroid)
{
	const AnnNode *node;
	bool		found;
	Buffer		buffer;

	if (!ann_page_try_read(index, ref.block, ANN_PAGE_NODE, BUFFER_LOCK_SHARE, &buffer))
		return false;
	node = get_node(index, info, BufferGetPage(buffer), ref);
	found = (node != NULL && node->kind == ANN_NODE_LEAF &&
			 node->u.leaf.first == leaf.first &&
			 node->u.leaf.generation == leaf.generation);
	if (found)
		ann_node_centre(info, node, centroid);
	UnlockReleaseBuffer(buffer);
	return found;
}

/* ---- building ---- */

#define NO_NODE PG_UINT32_MAX

/* A node in memory; its vector follows. */
typedef struct BuiltNode
{
	uint32		child[2];		/* numbers of nodes; NO_NODE for a leaf */
	AnnNodeRef	ref;			/* where it will be, once placed */
	AnnNode		node;
} BuiltNode;

struct AnnTreeWriter
{
	AnnBulk    *bulk;
	const AnnIndex *info;
	uint32		chunk;
	MemoryContext context;		/* of the nodes */
	BuiltNode **nodes;
	uint32		count;
	uint32		capacity;
};

AnnTreeWriter *
ann_tree_begin(AnnBulk *bulk, const AnnIndex *info, uint32 chunk)
{
	AnnTreeWriter *writer = palloc0(sizeof(AnnTreeWriter));

	writer->bulk = bulk;
	writer->info = info;
	writer->chunk = chunk;
	writer->context = AllocSetContextCreate(CurrentMemoryContext, "ann tree",
											ALLOCSET_DEFAULT_SIZES);
	writer->capacity = 1024;
	writer->nodes = palloc(sizeof(BuiltNode *) * writer->capacity);
	return writer;
}

static AnnNode *
add_node(AnnTreeWriter *writer)
{
	BuiltNode  *built;

	if (writer->count == writer->capacity)
	{
		writer->capacity *= 2;
		writer->nodes = repalloc_huge(writer->nodes,
									  sizeof(BuiltNode *) * writer->capacity);
	}
	built = MemoryContextAllocZero(writer->context, offsetof(BuiltNode, node) +
								   writer->info->node_size);
	built->child[0] = built->child[1] = NO_NODE;
	writer->nodes[writer->count++] = built;
	return &built->node;
}

uint32
ann_tree_add_split(AnnTreeWriter *writer, const int8 *normal, float scale,
				   float offset)
{
	AnnNode    *node = add_node(writer);

	node->kind = ANN_NODE_SPLIT;
	node->scale = scale;
	node->u.split.offset = offset;
	memcpy(node->vector, normal, writer->info->tree_dim);
	return writer->count - 1;
}

uint32
ann_tree_add_leaf(AnnTreeWriter *writer, const AnnNode *entry)
{
	memcpy(add_node(writer), entry, writer->info->node_size);
	return writer->count - 1;
}

void
ann_tree_link(AnnTreeWriter *writer, uint32 parent, int side, uint32 child)
{
	writer->nodes[parent]->child[side] = child;
}

/*
 * Choose a place for each node: the tree is taken from the top in pieces of
 * one page, each piece breadth first; the nodes below a piece begin pieces of
 * their own.  A piece that ends early leaves its page to the next one.  The
 * order of the pages is left in 'order', nodes_per_page nodes to each.
 */
static uint32
place_nodes(AnnTreeWriter *writer, uint32 root, uint32 *order)
{
	uint32	   *roots = palloc(sizeof(uint32) * (Size) writer->count);
	uint32		first_root = 0,
				num_roots = 0,
				placed = 0;

	roots[num_roots++] = root;
	while (first_root < num_roots)
	{
		uint32		piece = placed;
		uint32		page_end = (placed / writer->info->nodes_per_page + 1) *
			writer->info->nodes_per_page;

		order[placed++] = roots[first_root++];
		for (uint32 i = piece; i < placed; i++)
		{
			for (int side = 0; side < 2; side++)
			{
				uint32		child = writer->nodes[order[i]]->child[side];

				if (child == NO_NODE)
					continue;
				if (placed < page_end)
					order[placed++] = child;
				else
					roots[num_roots++] = child;
			}
		}
	}
	pfree(roots);
	return placed;
}

/* Ask for the pages, so that every node knows its own and its children's. */
static Page *
assign_pages(AnnTreeWriter *writer, const uint32 *order, uint32 placed)
{
	uint32		per_page = writer->info->nodes_per_page;
	Page	   *pages = palloc(sizeof(Page) * (placed / per_page + 1));
	BlockNumber block = InvalidBlockNumber;

	for (uint32 i = 0; i < placed; i++)
	{
		if (i % per_page == 0)
			pages[i / per_page] = ann_bulk_page(writer->bulk, ANN_PAGE_NODE,
												writer->chunk, &block);
		writer->nodes[order[i]]->ref.block = block;
		writer->nodes[order[i]]->ref.slot = (uint16) (i % per_page);
	}
	return pages;
}

/* Write a node, whose place and whose children's are known, to its page. */
static void
put_node(const AnnTreeWriter *writer, BuiltNode *built, Page page)
{
	for (int side = 0; side < 2; side++)
	{
		if (built->child[side] != NO_NODE)
			built->node.u.split.child[side] = writer->nodes[built->child[side]]->ref;
	}
	memcpy(ann_node_slot(writer->info, page, built->ref.slot), &built->node,
		   writer->info->node_size);
}

static void
forget_nodes(AnnTreeWriter *writer)
{
	MemoryContextReset(writer->context);
	writer->count = 0;
}

/* What is in front of the nodes. */
typedef struct SavedTree
{
	uint32		count;
	uint32		root;
} SavedTree;

void
ann_tree_save(AnnTreeWriter *writer, uint32 root, BufFile *file)
{
	SavedTree	head = {writer->count, root};

	BufFileWrite(file, &head, sizeof(head));
	for (uint32 i = 0; i < writer->count; i++)
	{
		BufFileWrite(file, writer->nodes[i]->child, sizeof(writer->nodes[i]->child));
		BufFileWrite(file, &writer->nodes[i]->node, writer->info->node_size);
	}
	forget_nodes(writer);
}

uint32
ann_tree_load(AnnTreeWriter *writer, BufFile *file)
{
	uint32		base = writer->count;
	SavedTree	head;

	BufFileReadExact(file, &head, sizeof(head));
	for (uint32 i = 0; i < head.count; i++)
	{
		AnnNode    *node = add_node(writer);
		uint32	   *child = writer->nodes[base + i]->child;

		BufFileReadExact(file, child, sizeof(writer->nodes[base + i]->child));
		BufFileReadExact(file, node, writer->info->node_size);
		for (int side = 0; side < 2; side++)
			child[side] += child[side] != NO_NODE ? base : 0;
	}
	return base + head.root;
}

AnnNodeRef
ann_tree_end(AnnTreeWriter *writer, uint32 root)
{
	uint32	   *order = palloc_extended(sizeof(uint32) * (Size) writer->count, MCXT_ALLOC_HUGE);
	uint32		placed = place_nodes(writer, root, order);
	uint32		per_page = writer->info->nodes_per_page;
	Page	   *pages = assign_pages(writer, order, placed);
	AnnNodeRef	result = writer->nodes[root]->ref;

	for (uint32 i = 0; i < placed; i++)
	{
		BuiltNode  *built = writer->nodes[order[i]];

		put_node(writer, built, pages[i / per_page]);
		if (i + 1 == placed || (i + 1) % per_page == 0)
			ann_bulk_done(writer->bulk, built->ref.block);
	}
	pfree(order);
	pfree(pages);
	forget_nodes(writer);
	return result;
}

/* As assign_pages; the pages are empty so far. */
static void
assign_live_pages(AnnTreeWriter *writer, Relation index, const uint32 *order,
				  uint32 placed)
{
	AnnNodeRef	ref = {InvalidBlockNumber, 0, 0};

	for (uint32 i = 0; i < placed; i++)
	{
		if (i % writer->info->nodes_per_page == 0)
		{
			AnnEdit		edit;
			Page		page;

			ann_edit_begin(&edit, index);
			page = ann_edit_new(&edit, ANN_PAGE_NODE, writer->chunk, &ref.block);
			ref.generation = (uint16) ANN_PAGE_TAIL(page)->generation;
			ref.slot = 0;
			ann_edit_commit(&edit);
		}
		writer->nodes[order[i]]->ref = ref;
		ref.slot++;
	}
}

AnnNodeRef
ann_tree_end_live(AnnTreeWriter *writer, Relation index, uint32 root)
{
	uint32	   *order = palloc_extended(sizeof(uint32) * (Size) writer->count, MCXT_ALLOC_HUGE);
	uint32		placed = place_nodes(writer, root, order);
	AnnNodeRef	result;

	assign_live_pages(writer, index, order, placed);
	result = writer->nodes[root]->ref;
	for (uint32 i = 0; i < placed;)
	{
		BlockNumber block = writer->nodes[order[i]]->ref.block;
		AnnEdit		edit;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		ann_edit_begin(&edit, index);
		page = ann_edit_add(&edit, ann_page_read(index, block, ANN_PAGE_NODE,
												 BUFFER_LOCK_EXCLUSIVE));
		for (; i < placed && writer->nodes[order[i]]->ref.block == block; i++)
			put_node(writer, writer->nodes[order[i]], page);
		ann_edit_commit(&edit);
	}
	pfree(order);
	forget_nodes(writer);
	return result;
}

BlockNumber
ann_roots_write(AnnBulk *bulk, uint32 chunk, const AnnNodeRef *roots, int n)
{
	int			per_page = ANN_BODY_SIZE / sizeof(AnnNodeRef);
	BlockNumber first = InvalidBlockNumber;
	BlockNumber previous = InvalidBlockNumber;
	Page		previous_page = NULL;

	for (int i = 0; i < n; i += per_page)
	{
		int			on_page = Min(per_page, n - i);
		BlockNumber block;
		Page		page = ann_bulk_page(bulk, ANN_PAGE_ROOTS, chunk, &block);

		memcpy(ANN_PAGE_BODY(page), roots + i, sizeof(AnnNodeRef) * on_page);
		((PageHeader) page)->pd_lower = SizeOfPageHeaderData + sizeof(AnnNodeRef) * on_page;
		if (first == InvalidBlockNumber)
			first = block;
		else
		{
			ANN_PAGE_TAIL(previous_page)->next = block;
			ann_bulk_done(bulk, previous);
		}
		previous = block;
		previous_page = page;
	}
	if (previous != InvalidBlockNumber)
		ann_bulk_done(bulk, previous);
	return first;
}

/* From the last page to the first, so that links lead to pages that are there. */
BlockNumber
ann_roots_write_live(Relation index, uint32 chunk, const AnnNodeRef *roots, int n)
{
	int			per_page = ANN_BODY_SIZE / sizeof(AnnNodeRef);
	BlockNumber next = InvalidBlockNumber;

	for (int i = (n - 1) / per_page * per_page; i >= 0; i -= per_page)
	{
		Size		bytes = sizeof(AnnNodeRef) * Min(per_page, n - i);
		BlockNumber block;
		AnnEdit		edit;
		Page		page;

		ann_edit_begin(&edit, index);
		page = ann_edit_new(&edit, ANN_PAGE_ROOTS, chunk, &block);
		memcpy(ANN_PAGE_BODY(page), roots + i, bytes);
		ann_page_set_used(page, bytes);
		ANN_PAGE_TAIL(page)->next = next;
		ann_edit_commit(&edit);
		next = block;
	}
	return next;
}

void
ann_root_replace(Relation index, const AnnChunk *chunk, int tree, AnnNodeRef root)
{
	int			per_page = ANN_BODY_SIZE / sizeof(AnnNodeRef);
	BlockNumber block = chunk->roots;
	AnnEdit		edit;
	Buffer		buffer;
	Page		page;

	for (;;)
	{
		buffer = ann_page_read(index, block, ANN_PAGE_ROOTS, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		if (tree < per_page)
			break;
		tree -= per_page;
		block = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
	}
	if (sizeof(AnnNodeRef) * (tree + 1) > ann_page_used(page))
		ann_page_corrupted(index, block, "no root %d", tree);
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	((AnnNodeRef *) ANN_PAGE_BODY(page))[tree] = root;
	ann_edit_commit(&edit);
}
