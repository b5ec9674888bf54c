/*
 * tree_pages.h
 *	  The splits and leaf entries of a forest: on the way down, and written by
 *	  a build.
 */
#ifndef ANN_TREE_PAGES_H
#define ANN_TREE_PAGES_H

#include "postgres.h"

#include "algo/frontier.h"
#include "algo/split.h"
#include "storage/buffile.h"
#include "store/bulk.h"
#include "store/leaf_pages.h"
#include "store/page.h"

/* What a scan or an insert learns of a leaf. */
typedef struct AnnLeafEntry
{
	AnnNodeRef	node;
	AnnLeafId	leaf;
	uint32		chunk;			/* that its entry says it is of */
	uint32		rows;			/* approximately */
	int			depth;			/* splits from where the way down began */
	float		priority;		/* squared distance from the centroid, in the
								 * space of the trees */
	float		d2;				/* the same in the space of the codes */
} AnnLeafEntry;

/*
 * A vector as the trees and the codes see it: under L2 less info->centre.
 *
 * Codes see 'rotated', info->padded floats: the vector (for cosine, scaled to
 * norm 1), rotated.  In front of it is, for inner product, the augmentation, which
 * makes all rows equal in norm and is zero in a query (Bachrach et al., 2014): that is
 * 'tree', info->row_dim floats, of which splits know the first info->tree_dim.  A row
 * goes its way as bytes, as it did in the build; a query as two planes.
 */
typedef struct AnnTreeVector
{
	double		norm2;			/* squared norm of the vector itself */
	float	   *rotated;		/* in tree */
	float	   *tree;
	int8	   *row;			/* a row: tree, in bytes ... */
	float		scale;			/* ... times this */
	int8	   *plane_memory;
	AnnPlanes	planes;			/* a query, as splits see it ... */
	AnnPlanes	rotated_planes; /* ... and as centroids do */
	int8	   *centroid;		/* scratch: one of four bits, as bytes */
} AnnTreeVector;

/* Room for one; everything in the current context. */
extern AnnTreeVector *ann_tree_vector_alloc(const AnnIndex *info);

/* Make norm2 and 'rotated' of a vector of floats, less the centre of the index. */
extern void ann_tree_vector_rotate(const AnnIndex *info, const float *vector,
								   AnnTreeVector *result);

/* The same, and what else a query needs. */
extern void ann_tree_vector_query(const AnnIndex *info, const float *vector,
								  AnnTreeVector *result);

/* The same, and what else a row needs. */
extern void ann_tree_vector_row(const AnnIndex *info, const float *vector,
								AnnTreeVector *result);

/* 'row' and 'scale' anew from 'rotated' and norm2, when max_norm has changed. */
extern void ann_tree_vector_project_row(const AnnIndex *info, AnnTreeVector *result);

/* The same of the centroid of a leaf, as if it were a row. */
extern void ann_tree_vector_centroid(const AnnIndex *info, const AnnNode *node,
									 AnnTreeVector *result);

/* The roots of a chunk's trees; returns their number. */
extern int	ann_roots_read(Relation index, const AnnChunk *chunk,
						   AnnNodeRef **roots);

/*
 * Go down from a node to a leaf on the near side of each split.  A query's far
 * sides are pushed to the frontier, which is enlarged as needed, at 'cost' plus
 * the square of the margin.  A row has no frontier (NULL), and goes where the
 * build would have put it.  A stale link (vacuum has been there) gives false.
 */
extern bool ann_tree_descend(Relation index, const AnnIndex *info,
							 const AnnTreeVector *v, AnnNodeRef node, float cost,
							 AnnFrontier *frontier, AnnLeafEntry *leaf);

/* A node as an item of a frontier, and back. */
#define ANN_NODE_ITEM(ref) \
	((uint64) (ref).block << 32 | (uint32) (ref).generation << 16 | (ref).slot)
#define ANN_ITEM_NODE(item) \
	((AnnNodeRef) {(BlockNumber) ((item) >> 32), (uint16) (item), (uint16) ((item) >> 16)})

/*
 * Read a node into memory of info->node_size bytes; false if it is not there
 * any more.
 */
extern bool ann_node_read(Relation index, const AnnIndex *info, AnnNodeRef ref,
						  AnnNode *node);

/* The place of a node on its page. */
static inline AnnNode *
ann_node_slot(const AnnIndex *info, Page page, int slot)
{
	return (AnnNode *) (ANN_PAGE_BODY(page) + (Size) slot * info->node_size);
}

/* Let a heap have room for n more entries. */
extern void ann_heap_reserve(AnnFrontier *heap, size_t n);

/* Add an entry to a heap, enlarged as needed. */
extern void ann_heap_push(AnnFrontier *heap, float cost, uint64 item);

/* As many nodes as a page can have, without a vector. */
#define ANN_MAX_PAGE_NODES ((int) (ANN_BODY_SIZE / offsetof(AnnNode, vector)))

/*
 * The slots of a page of nodes that are in use, to slots, which has room for
 * ANN_MAX_PAGE_NODES; their number is returned, 0 if it is not a page of nodes of
 * this generation any more.
 */
extern int	ann_node_page_slots(Relation index, const AnnIndex *info, BlockNumber block,
								uint32 generation, BufferAccessStrategy strategy,
								uint16 *slots);

/*
 * Set the centroid of a leaf, given as info->row_dim floats: all of 'node' but which
 * leaf it is.
 */
extern void ann_node_set_centroid(const AnnIndex *info, const float *centroid,
								  AnnNode *node);

/* What the codes of a leaf refer to: its centroid as stored, in info->padded floats. */
extern void ann_node_centre(const AnnIndex *info, const AnnNode *node,
							float *centroid);

/* The same, read from the entry of the leaf; false if it is not there any more. */
extern bool ann_leaf_centroid(Relation index, const AnnIndex *info,
							  AnnNodeRef node, AnnLeafId leaf, float *centroid);

/*
 * The nodes of a tree while it is built.  Children are numbers of nodes; the
 * root is node 0 unless set otherwise.
 */
typedef struct AnnTreeWriter AnnTreeWriter;

extern AnnTreeWriter *ann_tree_begin(AnnBulk *bulk, const AnnIndex *info,
									 uint32 chunk);
extern uint32 ann_tree_add_split(AnnTreeWriter *writer, const int8 *normal,
								 float scale, float offset);

/* The entry of a leaf, which is copied. */
extern uint32 ann_tree_add_leaf(AnnTreeWriter *writer, const AnnNode *entry);
extern void ann_tree_link(AnnTreeWriter *writer, uint32 parent, int side,
						  uint32 child);

/*
 * Append the nodes of the tree with this root to a file, and forget them; and add those
 * of such a file, returning the root's number.
 */
extern void ann_tree_save(AnnTreeWriter *writer, uint32 root, BufFile *file);
extern uint32 ann_tree_load(AnnTreeWriter *writer, BufFile *file);

/* Write the pages of the tree with this root, forget it, and return the root. */
extern AnnNodeRef ann_tree_end(AnnTreeWriter *writer, uint32 root);

/*
 * The same in a live index (a writer without bulk), where nothing leads to the
 * tree yet: under the structure lock.
 */
extern AnnNodeRef ann_tree_end_live(AnnTreeWriter *writer, Relation index, uint32 root);

/* Write the list of a chunk's roots; returns its first page. */
extern BlockNumber ann_roots_write(AnnBulk *bulk, uint32 chunk,
								   const AnnNodeRef *roots, int n);

/* The same in a live index, as ann_tree_end_live. */
extern BlockNumber ann_roots_write_live(Relation index, uint32 chunk,
										const AnnNodeRef *roots, int n);

/* Replace the root of a tree, whose number is 'tree'. */
extern void ann_root_replace(Relation index, const AnnChunk *chunk, int tree,
							 AnnNodeRef root);

#endif							/* ANN_TREE_PAGES_H */
