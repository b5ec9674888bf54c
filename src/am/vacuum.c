/*
 * vacuum.c
 *	  Taking dead rows out of an index, and putting in order what they leave.
 *
 * ambulkdelete takes heap TIDs out of elements and lists, and nothing else: it
 * may run several times.  Elements may be dead then, whose codes lead to
 * nothing.  amvacuumcleanup
 *
 *	 survey		notes all pages, and which elements are dead
 *	 barrier	waits for edits of several steps that are on their way, so that
 *				what nothing leads to from here on is lost
 *	 trees		walks over all trees: takes codes of dead elements out of the
 *				leaves, and nodes that it has not come by out of their pages
 *	 graph		takes links to dead elements out of a graph, and mends it;
 *				only then walks over its tree again, and takes dead elements
 *				out of that
 *	 release	frees the slots of the dead elements, and the pages that nothing
 *				has led to
 *	 trees		walks over them once more, and compacts and joins leaves that have
 *				become small, for which there is room now
 *
 * Scans and inserts go on meanwhile.  An element that is dead stays so until
 * it is released, and nothing but a vacuum does that.
 */
#include "postgres.h"

#include "algo/forest.h"
#include "am/calibrate.h"
#include "am/dimensions.h"
#include "am/graph_vacuum.h"
#include "am/method.h"
#include "am/reshape.h"
#include "commands/vacuum.h"
#include "compat.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "store/centre_pages.h"
#include "store/element.h"
#include "store/tids.h"
#include "utils/memutils.h"

/* Leaves that together are not larger than this share of one are joined. */
#define JOIN_SHARE 0.4

/* A leaf is compacted when less than this share of its places is in use. */
#define DENSE_SHARE 0.75

/* ---- ambulkdelete ---- */

/*
 * A chunk has dead elements, for amvacuumcleanup to see to.  If that does not come to
 * its end, the next one knows of it.
 */
static void
note_pending(Relation index, uint32 number, uint64 dead)
{
	AnnEdit		edit;

	ann_chunk_edit(&edit, index, number)->dead = dead;
	ann_edit_commit(&edit);
}

/* Take heap TIDs out of the elements of all pages; dead[i] counts those of chunk i. */
static void
vacuum_elements(AnnVacuum *vacuum, const AnnIndex *info, BlockNumber blocks, uint64 *dead,
				uint32 num_chunks)
{
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks && info->meta.dim != 0;
		 block++)
	{
		uint64		before = vacuum->dead;

		ann_vacuum_delay_point();
		ann_element_page_vacuum(vacuum, info, block);
		if (vacuum->dead == before || vacuum->chunk >= num_chunks)
			continue;

		/* also if this is cancelled and the next VACUUM finds nothing to delete */
		if (dead[vacuum->chunk] == 0)
			note_pending(vacuum->index, vacuum->chunk, vacuum->dead - before);
		dead[vacuum->chunk] += vacuum->dead - before;
	}
	for (uint32 i = 0; i < num_chunks; i++)
	{
		if (dead[i] > 0)
			note_pending(vacuum->index, i, dead[i]);
	}
}

IndexBulkDeleteResult *
ann_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *callback_state)
{
	Relation	index = info->index;
	AnnChunk   *chunks;
	uint32		num_chunks;
	AnnIndex   *numbers;
	uint64	   *dead;
	AnnVacuum	vacuum = {0};

	/* who changes the dimensions vacuums as well */
	ann_dimensions_lock(index, ShareLock);
	numbers = ann_index_copy(ann_index_chunks(index, &chunks, &num_chunks));
	dead = palloc0(sizeof(uint64) * num_chunks);
	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum.index = index;
	vacuum.callback = callback;
	vacuum.state = callback_state;
	vacuum.strategy = info->strategy;
	for (uint32 i = 0; i < num_chunks; i++)
		ann_chunk_lists_vacuum(&vacuum, i);

	/* pages and chunks that are added from here on have no row that is dead to all */
	stats->num_pages = RelationGetNumberOfBlocks(index);
	vacuum_elements(&vacuum, numbers, stats->num_pages, dead, num_chunks);
	stats->tuples_removed += vacuum.removed;
	stats->num_index_tuples = vacuum.kept;
	stats->estimated_count = false;
	pfree(numbers);
	pfree(chunks);
	pfree(dead);
	ann_dimensions_unlock(index, ShareLock);
	return stats;
}

/* ---- the survey ---- */

/* What is known of a page. */
typedef struct PageNote
{
	uint32		generation;
	uint32		chunk;
	uint32		first_slot;		/* number of its first slot in 'slots' */
	uint16		num_slots;
	uint8		kind;			/* AnnPageKind; 0: not to be freed */
	bool		reached;		/* something leads to it */
	bool		has_elements;	/* it is of elements, of the present epoch */
} PageNote;

/* What is known of a chunk. */
typedef struct ChunkNote
{
	bool		pending;		/* to be walked over */
	uint64		elements;		/* that are alive */
	uint64		num_dead;
	BlockNumber room_page;		/* that of elements with the most room, so far ... */
	Size		room;			/* ... so much of it; 0: none */
} ChunkNote;

typedef struct Cleanup
{
	AnnReshape	at;				/* the chunk at hand */
	ChunkNote  *chunks;			/* as of the beginning */
	uint32		num_chunks;
	AnnBlockLists blocks_of;	/* pages of nodes and of elements, by chunk */
	bool		any_stale;		/* there are elements of an earlier epoch */
	BufferAccessStrategy strategy;
	IndexBulkDeleteResult *stats;
	BlockNumber blocks;			/* at the time of the survey */
	PageNote   *pages;
	uint16	   *slots;			/* page after page: of dead elements; of nodes */
	uint32		num_slots;
	uint32		slots_capacity;
	AnnGraphVacuum *graph;		/* NULL of a forest */
	bool		mended;			/* the graph leads to all that is alive */
	bool		reshape;		/* dead elements have been released: compact and
								 * join leaves */
} Cleanup;

/* Note slots of a page. */
static void
note_slots(Cleanup *c, BlockNumber block, const uint16 *slots, int n)
{
	c->pages[block].first_slot = c->num_slots;
	c->pages[block].num_slots = (uint16) n;
	if (n == 0)
		return;
	if (c->num_slots + n > c->slots_capacity)
	{
		c->slots_capacity *= 2;
		c->slots = repalloc_huge(c->slots, sizeof(uint16) * c->slots_capacity);
	}
	memcpy(c->slots + c->num_slots, slots, sizeof(uint16) * n);
	c->num_slots += n;
}

static void
note_dead(Cleanup *c, BlockNumber block)
{
	uint16		slots[ANN_MAX_PAGE_ELEMENTS];
	int			live;
	int			n = ann_element_page_dead(c->at.index, c->at.info, block, c->strategy,
										  slots, &live);

	if (c->pages[block].chunk < c->num_chunks)
	{
		c->chunks[c->pages[block].chunk].elements += live;
		c->chunks[c->pages[block].chunk].num_dead += n;
	}
	note_slots(c, block, slots, n);
}

/* Is a chunk walked over, so that what has not been reached is lost? */
static bool
is_pending(const Cleanup *c, uint32 chunk)
{
	return chunk < c->num_chunks && c->chunks[chunk].pending;
}

/*
 * Look at a page.  One that is free, or has never been used, or has room for
 * TIDs, is told to the map, which may have forgotten it.
 */
static void
survey_page(Cleanup *c, BlockNumber block)
{
	PageNote   *note = &c->pages[block];
	AnnPageTail tail;
	Size		room;

	memset(note, 0, sizeof(PageNote));
	if (!ann_page_look(c->at.index, block, c->strategy, &tail, &room))
	{
		ann_room_note(c->at.index, block, ANN_PAGE_FREE, 0);
		return;
	}
	note->generation = tail.generation;
	note->chunk = tail.chunk;
	switch (tail.kind)
	{
		case ANN_PAGE_FREE:
			ann_room_note(c->at.index, block, ANN_PAGE_FREE, 0);
			break;
		case ANN_PAGE_TIDS:
			ann_room_note(c->at.index, block, ANN_PAGE_TIDS, room);
			break;
		case ANN_PAGE_ELEMENT:
			if (tail.epoch != (uint8) c->at.info->meta.epoch)
			{
				note->kind = tail.kind;
				c->any_stale = true;
			}
			else if (c->at.info->meta.dim != 0)
			{
				note->has_elements = true;
				note_dead(c, block);
			}
			break;
		case ANN_PAGE_ROOTS:
		case ANN_PAGE_NODE:
		case ANN_PAGE_LEAF:
		case ANN_PAGE_REST:
		case ANN_PAGE_CENTRE:
			note->kind = tail.kind;
			break;
		default:
			break;
	}
}

static void
survey(Cleanup *c)
{
	/* a page that is being added is locked by the time it is counted */
	LockRelationForExtension(c->at.index, ExclusiveLock);
	c->blocks = RelationGetNumberOfBlocks(c->at.index);
	UnlockRelationForExtension(c->at.index, ExclusiveLock);
	c->pages = palloc_extended(sizeof(PageNote) * (Size) c->blocks, MCXT_ALLOC_HUGE);
	c->slots_capacity = 4096;
	c->slots = palloc(sizeof(uint16) * c->slots_capacity);
	memset(c->pages, 0, sizeof(PageNote) * Min(c->blocks, ANN_DIRECTORY_BLOCK + 1));
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < c->blocks; block++)
	{
		ann_vacuum_delay_point();
		survey_page(c, block);
	}
}

static void
note_reached(BlockNumber block, void *state)
{
	Cleanup    *c = state;

	if (block < c->blocks)
		c->pages[block].reached = true;
}

/*
 * Was the element dead when its page was surveyed?  Then it still is.  What is in
 * another chunk is to a link as good as dead.
 */
static bool
is_dead(AnnElementRef ref, void *state)
{
	const Cleanup *c = state;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	uint16		slot = ItemPointerGetOffsetNumberNoCheck(&ref) - 1;
	const PageNote *note;

	if (block >= c->blocks || c->reshape)
		return false;
	note = &c->pages[block];
	if (note->has_elements && note->chunk != c->at.number)
		return true;
	for (int i = 0; i < note->num_slots; i++)
	{
		if (note->has_elements && c->slots[note->first_slot + i] == slot)
			return true;
	}
	return false;
}

/*
 * AnnElementHeir: dead rows of a leaf go.  Those of a graph's tree are its entries,
 * and stay until it has been mended.
 */
static AnnElementRef
find_heir(AnnElementRef ref, void *state)
{
	Cleanup    *c = state;
	bool		dead = is_dead(ref, c);
	AnnElementRef result = ref;

	if (dead && c->graph == NULL)
		ItemPointerSetInvalid(&result);
	else if (dead && c->mended)
		result = ann_graph_vacuum_heir(c->graph, ref);
	else if (dead)
		ann_graph_vacuum_dead_entry(c->graph, ref);
	else if (c->graph != NULL && !c->mended)
		ann_graph_vacuum_entry(c->graph, ref);
	return result;
}

/* ---- nodes that are lost ---- */

/*
 * Note which slots of nodes are in use, under the structure lock, when only we take
 * nodes out of trees.  All others come in the edit that leads to them: what is noted
 * is reached by the walk that follows, or lost.
 */
static void
note_nodes(Cleanup *c)
{
	uint32		n;
	const BlockNumber *blocks = ann_block_list(&c->blocks_of, c->at.number, &n);

	for (uint32 i = 0; i < n; i++)
	{
		BlockNumber block = blocks[i];
		uint16		slots[ANN_MAX_PAGE_NODES];

		if (c->pages[block].kind != ANN_PAGE_NODE)
			continue;
		ann_vacuum_delay_point();
		note_slots(c, block, slots,
				   ann_node_page_slots(c->at.index, c->at.info, block,
									   c->pages[block].generation, c->strategy, slots));
	}
}

/* A node is reached: forget its slot. */
static void
note_reached_node(Cleanup *c, AnnNodeRef ref)
{
	PageNote   *note;
	uint16	   *slots;

	note_reached(ref.block, c);
	if (ref.block >= c->blocks || c->pages[ref.block].kind != ANN_PAGE_NODE)
		return;
	note = &c->pages[ref.block];
	if (note->chunk != c->at.number || (uint16) note->generation != ref.generation)
		return;
	slots = c->slots + note->first_slot;
	for (int i = 0; i < note->num_slots; i++)
	{
		if (slots[i] == ref.slot)
		{
			slots[i] = slots[--note->num_slots];
			break;
		}
	}
}

/* Empty the slots that have been noted, and not reached, on pages that have been. */
static void
drop_lost_nodes(Cleanup *c)
{
	uint32		n;
	const BlockNumber *blocks = ann_block_list(&c->blocks_of, c->at.number, &n);

	for (uint32 i = 0; i < n; i++)
	{
		PageNote   *note = &c->pages[blocks[i]];
		AnnNodeRef	lost[ANN_MAX_PAGE_NODES];

		if (note->kind != ANN_PAGE_NODE)
			continue;
		for (int k = 0; k < note->num_slots; k++)
			lost[k] = (AnnNodeRef) {blocks[i], c->slots[note->first_slot + k],
			(uint16) note->generation};
		if (note->reached && note->num_slots > 0)
			ann_tree_drop_nodes(c->at.index, c->at.info, lost, note->num_slots);
		note->num_slots = 0;
	}
}


/* ---- trees ---- */

/* What is at a node, after all below it has been put in order. */
typedef struct Subtree
{
	bool		is_leaf;
	AnnLeafId	leaf;
	int64		rows;
} Subtree;

/*
 * Take the dead rows out of a leaf of which we have the claim.  Returns the
 * number of rows, -1 if it is not there any more.
 */
static int64
vacuum_leaf(Cleanup *c, AnnNodeRef ref, AnnNode *node, AnnLeafId *leaf)
{
	uint32		places;
	int64		rows;

	rows = ann_leaf_vacuum(c->at.index, c->at.info, *leaf, find_heir, note_reached, c,
						   c->strategy, &places);
	if (rows < 0)
		return rows;
	if (c->reshape && places - rows >= ANN_BLOCK_ROWS && rows < DENSE_SHARE * places)
	{
		ann_compact_leaf(&c->at, ref, *leaf);
		if (!ann_node_read(c->at.index, c->at.info, ref, node) || node->kind != ANN_NODE_LEAF)
			return -1;
		leaf->first = node->u.leaf.first;
		leaf->generation = node->u.leaf.generation;
	}
	else if ((int64) node->u.leaf.rows != rows)
		ann_tree_set_rows(c->at.index, c->at.info, ref, *leaf, (uint32) rows);
	return rows;
}

/* The children of a split, both leaves, become one; the result is at 'ref'. */
static void
join_children(Cleanup *c, AnnNodeRef ref, const AnnNodeRef child[2], AnnNode *node,
			  Subtree below[2], Subtree *result)
{
	AnnLeafId	leaf[2] = {below[0].leaf, below[1].leaf};

	for (int i = 0; i < 2; i++)
		ann_leaf_claim(c->at.index, leaf[i]);
	if (ann_join_leaves(&c->at, ref, child, leaf) &&
		ann_node_read(c->at.index, c->at.info, ref, node) &&
		node->kind == ANN_NODE_LEAF)
	{
		result->is_leaf = true;
		result->leaf.first = node->u.leaf.first;
		result->leaf.generation = node->u.leaf.generation;
		result->rows = node->u.leaf.rows;
	}
	for (int i = 0; i < 2; i++)
		ann_leaf_unclaim(c->at.index, leaf[i]);
}

static void
count_rows(const AnnLeafBlock *block, void *state)
{
	*(int64 *) state += pg_popcount32(block->live);
}

/*
 * Lock the first page of a leaf of which we have the claim, so that no row can
 * be appended; false if one has been.
 */
static bool
lock_empty_leaf(Cleanup *c, AnnLeafId leaf, Buffer *first)
{
	int64		rows = 0;

	if (!ann_leaf_lock(c->at.index, leaf, first))
		return false;

	/* who appends to a leaf of large blocks needs the claim */
	if (c->at.info->pages_per_block == 1)
		ann_leaf_scan_locked(c->at.index, c->at.info, *first, count_rows, &rows);
	if (rows > 0)
		UnlockReleaseBuffer(*first);
	return rows == 0;
}

/* A child of a split that is a leaf without rows goes. */
static void
drop_child(Cleanup *c, AnnNodeRef ref, const AnnNodeRef child[2], int other,
		   Subtree below[2], Subtree *result)
{
	AnnLeafId	empty = below[1 - other].leaf;
	uint32		places;
	Buffer		first;

	/* the other one may be a leaf, and is not to be divided on its way up */
	ann_leaf_claim(c->at.index, empty);
	if (below[other].is_leaf)
		ann_leaf_claim(c->at.index, below[other].leaf);
	if (ann_leaf_vacuum(c->at.index, c->at.info, empty, find_heir, note_reached, c,
						c->strategy, &places) == 0 &&
		lock_empty_leaf(c, empty, &first) &&
		ann_tree_drop_leaf(c->at.index, c->at.info, ref, child, other, empty, first))
		*result = below[other];
	if (below[other].is_leaf)
		ann_leaf_unclaim(c->at.index, below[other].leaf);
	ann_leaf_unclaim(c->at.index, empty);
}

static Subtree vacuum_node(Cleanup *c, AnnNodeRef ref);

static Subtree
vacuum_split(Cleanup *c, AnnNodeRef ref, AnnNode *node)
{
	AnnNodeRef	child[2] = {node->u.split.child[0], node->u.split.child[1]};
	Subtree		below[2];
	Subtree		result = {false};

	for (int side = 0; side < 2; side++)
		below[side] = vacuum_node(c, child[side]);
	if (!c->reshape)
		return result;
	for (int side = 0; side < 2; side++)
	{
		if (below[side].is_leaf && below[side].rows == 0)
		{
			drop_child(c, ref, child, 1 - side, below, &result);
			return result;
		}
	}
	if (below[0].is_leaf && below[1].is_leaf &&
		below[0].rows + below[1].rows <= JOIN_SHARE * c->at.chunk.leaf_capacity)
		join_children(c, ref, child, node, below, &result);
	return result;
}

/* Put a node in order, and all below it. */
static Subtree
vacuum_node(Cleanup *c, AnnNodeRef ref)
{
	AnnNode    *node = palloc(c->at.info->node_size);
	AnnLeafId	gone = {InvalidBlockNumber, 0};
	Subtree		result = {false};

	check_stack_depth();
	note_reached_node(c, ref);
	while (ann_node_read(c->at.index, c->at.info, ref, node))
	{
		AnnLeafId	leaf = {node->u.leaf.first, node->u.leaf.generation};

		ann_vacuum_delay_point();
		result.leaf = leaf;
		if (node->kind == ANN_NODE_SPLIT)
		{
			result = vacuum_split(c, ref, node);
			break;
		}
		if (ann_same_leaf(leaf, gone))
			ann_leaf_corrupted(c->at.index, leaf);
		ann_leaf_claim(c->at.index, leaf);
		result.rows = vacuum_leaf(c, ref, node, &result.leaf);
		ann_leaf_unclaim(c->at.index, leaf);
		if (result.rows >= 0)
		{
			result.is_leaf = true;
			break;
		}
		gone = leaf;
	}
	pfree(node);
	return result;
}

/* ---- the graph ---- */

/* Past this share of dead elements a new build is faster than mending. */
static void
advise_rebuild(const Cleanup *c)
{
	uint64		elements = 0;
	uint64		num_dead = 0;

	for (uint32 i = 0; i < c->num_chunks; i++)
	{
		elements += c->chunks[i].elements;
		num_dead += c->chunks[i].num_dead;
	}
	if (ann_is_graph(c->at.info) && num_dead > elements)
		ereport(LOG,
				(errmsg("index \"%s\" has lost more than half of its vectors at once",
						RelationGetRelationName(c->at.index)),
				 errhint("REINDEX would have been faster than mending its graph.")));
}

static void
clean_graph(Cleanup *c)
{
	if (c->chunks[c->at.number].num_dead > 0)
		ann_graph_vacuum_mend(c->graph);
	ann_graph_vacuum_reach(c->graph);
	c->mended = true;
}

/* ---- release ---- */

/* The pages of roots of a chunk. */
static void
reach_roots(Cleanup *c)
{
	BlockNumber block = c->at.chunk.roots;

	while (block != InvalidBlockNumber)
	{
		Buffer		buffer = ann_page_read(c->at.index, block, ANN_PAGE_ROOTS, BUFFER_LOCK_SHARE);

		note_reached(block, c);
		block = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
	}
}

/* The pages that long elements go on in. */
static void
reach_rest(Cleanup *c)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(c->at.index);
	BlockNumber rest[ANN_MAX_REST_PAGES];

	if (c->at.info->meta.dim == 0 || c->at.info->element_size <= c->at.info->slot_size)
		return;
	/* a rest may be older than the survey, and what leads to it younger */
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks; block++)
	{
		int			n;

		ann_vacuum_delay_point();
		n = ann_element_rest_pages(c->at.index, c->at.info, block, rest);
		for (int i = 0; i < n; i++)
			note_reached(rest[i], c);
	}
}

/*
 * What leads from no chunk in particular to other pages.  There is a barrier here, too:
 * no chunk may have been walked over.
 */
static void
reach_shared(Cleanup *c)
{
	ann_structure_lock(c->at.index, ExclusiveLock);
	ann_structure_unlock(c->at.index, ExclusiveLock);
	ann_structure_lock(c->at.index, ShareLock);
	ann_centre_visit(c->at.index, note_reached, c);
	reach_rest(c);
	ann_structure_unlock(c->at.index, ShareLock);
}

/* Free the slots of dead elements, which no code leads to any more. */
static void
release_elements(Cleanup *c)
{
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < c->blocks; block++)
	{
		const PageNote *note = &c->pages[block];
		Size		room;

		if (note->num_slots == 0 || !note->has_elements || !is_pending(c, note->chunk))
			continue;
		ann_vacuum_delay_point();
		room = ann_element_page_release(c->at.index, c->at.info, block, c->strategy,
										c->slots + note->first_slot, note->num_slots);
		if (room > c->chunks[note->chunk].room)
		{
			c->chunks[note->chunk].room_page = block;
			c->chunks[note->chunk].room = room;
		}
	}
}

/* Is a page of this kind reached from its chunk? */
static bool
is_of_chunk(uint8 kind)
{
	return kind == ANN_PAGE_ROOTS || kind == ANN_PAGE_NODE || kind == ANN_PAGE_LEAF;
}

/* Free the pages that nothing leads to. */
static void
release_pages(Cleanup *c)
{
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < c->blocks; block++)
	{
		const PageNote *note = &c->pages[block];

		if (note->kind == 0 || note->reached ||
			(is_of_chunk(note->kind) && !is_pending(c, note->chunk)))
			continue;
		ann_vacuum_delay_point();
		if (ann_page_reclaim(c->at.index, block, note->kind, note->generation))
			c->stats->pages_newly_deleted++;
	}
}

/* The counters of a chunk; leaves follow its size. */
static void
refresh_chunk(Cleanup *c, uint32 number)
{
	uint64		elements = c->chunks[number].elements;
	AnnEdit		edit;
	AnnChunk   *chunk = ann_chunk_edit(&edit, c->at.index, number);

	if (!ann_is_epoch(chunk, c->at.info))
		ann_chunk_empty(chunk, c->at.info->meta.epoch);
	if (c->num_chunks > 1 && c->chunks[number].room > 0)
		chunk->element_page = c->chunks[number].room_page;
	chunk->rows = elements;
	chunk->dead = c->chunks[number].pending ? 0 : c->chunks[number].num_dead;
	if (chunk->roots != InvalidBlockNumber)
		chunk->leaf_capacity = ann_leaf_capacity(ann_rows_in_tree(c->at.info, (double) elements));
	ann_edit_commit(&edit);
}

/*
 * The barrier is the structure lock: exclusively, for a moment.  The trees keep
 * their shape while they are walked over, but for leaves that are divided.
 */
static void
clean_trees(Cleanup *c)
{
	AnnNodeRef *roots;
	BlockNumber node_page;
	uint32		slots;
	int			n;

	ann_structure_lock(c->at.index, ExclusiveLock);
	ann_chunk_read_as(c->at.index, c->at.info, c->at.number, &c->at.chunk);

	/* if nothing leads to this page, nothing must come to */
	node_page = c->at.chunk.node_page;
	ann_chunk_set_node_page(c->at.index, c->at.info, c->at.number, InvalidBlockNumber);
	ann_structure_unlock(c->at.index, ExclusiveLock);
	ann_structure_lock(c->at.index, ShareLock);
	ann_chunk_read_as(c->at.index, c->at.info, c->at.number, &c->at.chunk);
	slots = c->num_slots;
	if (!c->reshape)
		note_nodes(c);

	/* this checks the chain of their pages */
	n = ann_roots_read(c->at.index, &c->at.chunk, &roots);
	reach_roots(c);
	for (int i = 0; i < n; i++)
		vacuum_node(c, roots[i]);
	if (!c->reshape)
		drop_lost_nodes(c);
	c->num_slots = slots;
	if (node_page < c->blocks && c->pages[node_page].reached &&
		c->at.chunk.node_page == InvalidBlockNumber)
		ann_chunk_set_node_page(c->at.index, c->at.info, c->at.number, node_page);
	ann_structure_unlock(c->at.index, ShareLock);
}

static AnnGraphVacuum *
begin_graph(Cleanup *c)
{
	uint32		n;
	const BlockNumber *blocks = ann_block_list(&c->blocks_of, c->at.number, &n);

	return ann_graph_vacuum_begin(&c->at, c->blocks, blocks, n, is_dead, c, c->strategy);
}

/* Take what is dead out of the trees and the graph of a chunk. */
static void
clean_chunk(Cleanup *c)
{
	c->graph = NULL;
	c->mended = false;
	if (ann_is_graph(c->at.info) && c->at.info->meta.dim != 0 && !c->reshape)
		c->graph = begin_graph(c);
	clean_trees(c);
	if (c->graph != NULL)
	{
		clean_graph(c);
		clean_trees(c);
		ann_graph_vacuum_orphans(c->graph);
	}
}

/* The same of all chunks that have something dead. */
static void
clean_chunks(Cleanup *c, AnnIndex *info)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann vacuum chunk",
												  ALLOCSET_DEFAULT_SIZES);

	for (uint32 i = 0; i < c->num_chunks; i++)
	{
		MemoryContext old;

		if (!c->chunks[i].pending)
			continue;
		old = MemoryContextSwitchTo(context);
		c->at.number = i;
		ann_chunk_read_as(c->at.index, info, i, &c->at.chunk);
		info->max_norm = c->at.chunk.max_norm;
		clean_chunk(c);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

/*
 * Which chunks are to be walked over: those that have dead elements.  If there are some
 * of an earlier epoch, what was a chunk's then may be in any.
 */
static void
choose_chunks(Cleanup *c, const AnnChunk *chunks)
{
	for (uint32 i = 0; i < c->num_chunks; i++)
		c->chunks[i].pending = c->num_chunks == 1 || chunks[i].dead > 0 ||
			c->chunks[i].num_dead > 0 || c->any_stale;
}

/* Which pages of nodes and of elements are whose. */
static void
sort_pages(Cleanup *c)
{
	uint32	   *chunk_of = palloc_extended(sizeof(uint32) * (Size) c->blocks, MCXT_ALLOC_HUGE);

	for (BlockNumber block = 0; block < c->blocks; block++)
	{
		const PageNote *note = &c->pages[block];

		chunk_of[block] = note->has_elements || note->kind == ANN_PAGE_NODE
			? note->chunk : ANN_NO_CHUNK;
	}
	ann_block_lists_make(&c->blocks_of, chunk_of, c->blocks, c->num_chunks);
	pfree(chunk_of);
}

static void
clean_index(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	Cleanup		c = {0};
	AnnIndex   *numbers;
	AnnChunk   *chunks;

	/* the dimensions stay, as we know the pages by them */
	ann_dimensions_lock(info->index, ShareLock);
	c.at.index = info->index;
	numbers = ann_index_copy(ann_index_chunks(info->index, &chunks, &c.num_chunks));
	c.chunks = palloc0(sizeof(ChunkNote) * c.num_chunks);
	c.at.info = numbers;
	c.strategy = info->strategy;
	c.stats = stats;
	survey(&c);
	choose_chunks(&c, chunks);
	sort_pages(&c);
	clean_chunks(&c, numbers);
	advise_rebuild(&c);
	reach_shared(&c);
	release_elements(&c);
	release_pages(&c);
	for (uint32 i = 0; i < c.num_chunks; i++)
		refresh_chunk(&c, i);

	/* with the room that is free by now, since new leaves come before old ones go */
	IndexFreeSpaceMapVacuum(info->index);
	c.reshape = true;
	clean_chunks(&c, numbers);
	ann_dimensions_unlock(info->index, ShareLock);
}

/* Elements of all chunks, and whether a vacuum has left dead ones in some. */
static double
count_elements(Relation index, bool *pending)
{
	AnnChunk   *chunks;
	uint32		n;
	double		result = 0;

	*pending = false;
	(void) ann_index_chunks(index, &chunks, &n);
	for (uint32 i = 0; i < n; i++)
	{
		*pending |= chunks[i].dead > 0;
		result += (double) chunks[i].rows;
	}
	pfree(chunks);
	return result;
}

IndexBulkDeleteResult *
ann_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	MemoryContext context,
				old;
	double		before;
	bool		pending;

	if (info->analyze_only)
		return stats;

	/* without dead rows, of this vacuum or one that was interrupted, all is clean */
	before = count_elements(info->index, &pending);
	if (stats != NULL)
		pending = true;
	else
	{
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->num_index_tuples = info->num_heap_tuples;
		stats->estimated_count = true;
	}
	if (pending)
	{
		context = AllocSetContextCreate(CurrentMemoryContext, "ann vacuum",
										ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(context);
		clean_index(info, stats);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
	ann_recalibrate(info->index, before, count_elements(info->index, &pending), info->strategy);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	IndexFreeSpaceMapVacuum(info->index);
	return stats;
}
