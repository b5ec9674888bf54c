/*
 * graph_vacuum.c
 *	  Mending a graph whose nodes have died.
 *
 *	MEND(y)		candidates = living neighbours of the dead neighbours of y, by
 *				estimate
 *		y keeps its living neighbours, and gets those of the candidates that these
 *		and one another do not occlude, up to 2m; and more, up to as many links as
 *		it had; the links to the dead go
 *
 * An index without vectors makes links out of two, by the codes.
 *
 * Dead nodes are read, so that they stay what they are until all that lead to them
 * have been mended.  Then a walk over the whole graph tells what nothing leads to;
 * one of its neighbours gets a link back, or it becomes an entry.  Dead entries stay
 * in their tree until that is done, so that a search, or a server that ends before,
 * has what leads to the living.
 *
 * Where there are few entries, a cluster of rows may have but one: a neighbour becomes
 * an entry in place of one that has died.  Links lead to the cluster still, but from so
 * far away that no search would go there.
 *
 * VACUUM must not ask the table for vectors.  In an index without them a neighbour
 * inherits the place, and the code, of a dead entry, also if there are many and nothing
 * else leads to it.
 *
 * Each node is changed by one edit; scans and inserts go on meanwhile.
 */
#include "postgres.h"

#include "algo/distance.h"
#include "am/graph_insert.h"
#include "am/graph_vacuum.h"
#include "am/leaf_search.h"
#include "am/link_make.h"
#include "am/tree_insert.h"
#include "commands/vacuum.h"
#include "compat.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "store/element.h"
#include "store/tree_pages.h"
#include "utils/memutils.h"

/* Candidates of a node that are read, for each m. */
#define READ_PER_M 2

/* Entries are few if a search looks at the codes of all of them. */
#define FEW_ENTRIES 64

/* A neighbour of a dead neighbour. */
typedef struct Candidate
{
	float		estimate;		/* squared distance from the node */
	AnnElementRef ref;
} Candidate;

/* A list of references that grows. */
typedef struct RefQueue
{
	AnnElementRef *refs;
	uint32		count;
	uint32		capacity;
} RefQueue;

struct AnnGraphVacuum
{
	/* Unchanging, set at the beginning */
	AnnReshape *at;
	BlockNumber blocks;
	const BlockNumber *ours;
	uint32		num_ours;
	AnnElementTest dead;
	void	   *state;
	BufferAccessStrategy strategy;
	MemoryContext node_context; /* of the node that is being mended */
	AnnNodeReader *reader;

	/* The walk */
	RefQueue	queue;
	uint8	   *reached;		/* a bit for each slot of each block */

	/* Entries: those that live while they are few, and those that have died */
	RefQueue	entries;
	RefQueue	dead_entries;
	AnnElementRef *heirs;		/* of these, or invalid */
	bool	   *placed;			/* have they been asked for? */

	/* Nodes of a page that are to be mended, or have not been reached */
	RefQueue	found;

	/* Scratch */
	AnnTreeVector *v;			/* of the node */
	AnnTreeVector *other;
	AnnLinks   *links;			/* of the node */
	AnnLinks   *other_links;
	AnnLinkSet *set;
	AnnLinkSet *other_set;
	float	   *residual;
	uint8	   *code;
	char	   *query;			/* memory of a code query */
	char	   *scratch;		/* ann_record_scratch */
};

static void
init_queue(RefQueue *queue)
{
	queue->count = 0;
	queue->capacity = 1024;
	queue->refs = palloc(sizeof(AnnElementRef) * queue->capacity);
}

static void
push_ref(RefQueue *queue, AnnElementRef ref)
{
	if (queue->count == queue->capacity)
	{
		queue->capacity *= 2;
		queue->refs = repalloc_huge(queue->refs, sizeof(AnnElementRef) * (Size) queue->capacity);
	}
	queue->refs[queue->count++] = ref;
}

/* ---- blocks by chunk ---- */

void
ann_block_lists_make(AnnBlockLists *lists, const uint32 *chunk_of, BlockNumber blocks, uint32 n)
{
	uint32	   *next = palloc0(sizeof(uint32) * ((Size) n + 1));
	uint32		at = 0;

	for (BlockNumber block = 0; block < blocks; block++)
	{
		if (chunk_of[block] < n)
			next[chunk_of[block]]++;
	}
	lists->first = palloc(sizeof(uint32) * ((Size) n + 1));
	for (uint32 i = 0; i <= n; i++)
	{
		lists->first[i] = at;
		at += next[i];
		next[i] = lists->first[i];
	}
	lists->blocks = palloc_extended(sizeof(BlockNumber) * ((Size) at + 1), MCXT_ALLOC_HUGE);
	for (BlockNumber block = 0; block < blocks; block++)
	{
		if (chunk_of[block] < n)
			lists->blocks[next[chunk_of[block]]++] = block;
	}
	pfree(next);
}

const BlockNumber *
ann_block_list(const AnnBlockLists *lists, uint32 chunk, uint32 *n)
{
	*n = lists->first[chunk + 1] - lists->first[chunk];
	return lists->blocks + lists->first[chunk];
}

/* ---- begin ---- */

AnnGraphVacuum *
ann_graph_vacuum_begin(AnnReshape *at, BlockNumber blocks, const BlockNumber *ours, uint32 n,
					   AnnElementTest dead, void *state, BufferAccessStrategy strategy)
{
	const AnnIndex *info = at->info;
	AnnGraphVacuum *v = palloc0(sizeof(AnnGraphVacuum));
	Size		links = ann_links_size(info, info->max_links + ANN_LINK_STEP);

	v->at = at;
	v->blocks = blocks;
	v->ours = ours;
	v->num_ours = n;
	v->dead = dead;
	v->state = state;
	v->strategy = strategy;
	v->node_context = AllocSetContextCreate(CurrentMemoryContext, "ann node",
											ALLOCSET_DEFAULT_SIZES);
	v->reader = ann_node_reader_begin(at);
	v->reached = palloc_extended(((Size) blocks * info->elements_per_page + 7) / 8 + 1,
								 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	v->v = ann_tree_vector_alloc(info);
	v->other = ann_tree_vector_alloc(info);
	v->links = palloc(links);
	v->other_links = palloc(links);
	v->set = ann_link_set_make(info, info->max_links + ANN_LINK_STEP + READ_PER_M * info->meta.m);
	v->other_set = ann_link_set_make(info, info->max_links + ANN_LINK_STEP);
	v->residual = palloc(sizeof(float) * info->padded);
	v->code = palloc(info->link_bytes);
	v->query = (char *) TYPEALIGN(64, palloc(ann_code_query_size(info->link_bits,
																info->link_dim) + 64));
	v->scratch = palloc(ann_record_scratch(info));
	init_queue(&v->queue);
	init_queue(&v->entries);
	init_queue(&v->dead_entries);
	init_queue(&v->found);
	return v;
}

/* ---- mending ---- */

/* AnnElementVisitor: note nodes of a page that have dead neighbours. */
static void
note_mendable(AnnElementRef ref, uint32 chunk, const AnnElement *element, void *state)
{
	AnnGraphVacuum *v = state;
	const AnnLinks *links = ann_record_links(v->at->info, element);

	for (int i = 0; i < links->count; i++)
	{
		if (v->dead(links->element[i], v->state))
		{
			push_ref(&v->found, ref);
			return;
		}
	}
}

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *x = a;
	const Candidate *y = b;

	if (x->estimate != y->estimate)
		return x->estimate < y->estimate ? -1 : 1;
	return ItemPointerCompare((ItemPointer) &x->ref, (ItemPointer) &y->ref);
}

/*
 * The living neighbours of a dead neighbour z of the node y, with estimates of
 * their distances:
 *
 *		|y - x|^2 = |y - z|^2 + |x - z|^2 + F <s, y - z>
 */
static int
add_candidates(AnnGraphVacuum *v, AnnElementRef node, AnnElementRef dead,
			   Candidate *candidates)
{
	const AnnIndex *info = v->at->info;
	AnnCodeQuery *query;
	float		d2;
	int			n = 0;

	if (!ann_node_vector(v->reader, dead, v->other, v->other_links))
		return 0;
	memcpy(v->residual, v->v->rotated, sizeof(float) * info->padded);
	for (int i = 0; i < info->padded; i++)
		v->residual[i] -= v->other->rotated[i];
	d2 = (float) ann_kernels->pair[ANN_PAIR_F32_F32_FAST].ip(v->residual, v->residual,
															info->padded);
	query = ann_code_query_init(v->query, info->link_bits, info->link_dim, v->residual);
	ann_link_set_load(v->other_set, v->other_links);
	memcpy(ann_links_a(v->other_links), v->other_set->length2,
		   sizeof(float) * v->other_links->count);
	for (int first = 0; first < v->other_links->count; first += ANN_CODE_ROWS)
	{
		int			count = Min(v->other_links->count - first, ANN_CODE_ROWS);
		float		estimate[ANN_CODE_ROWS];

		ann_links_scan(info, v->other_links, first, query, d2, estimate);
		for (int i = 0; i < count; i++)
		{
			AnnElementRef ref = v->other_links->element[first + i];

			if (ann_same_tid(&ref, &node) || v->dead(ref, v->state) ||
				ann_links_find(v->links, ref) >= 0)
				continue;
			candidates[n].estimate = estimate[i];
			candidates[n++].ref = ref;
		}
	}
	return n;
}

/*
 * The same without vectors: links of the node to the neighbours of a dead one, made
 * out of the two links between, are added to the set.  'dead' is number i of the
 * node's links as they were, which are in v->other_set.
 */
static void
join_candidates(AnnGraphVacuum *v, AnnElementRef node, int i)
{
	const AnnIndex *info = v->at->info;

	if (!ann_node_vector(v->reader, v->other_set->element[i], NULL, v->other_links))
		return;
	for (int j = 0; j < v->other_links->count && v->set->count < v->set->capacity; j++)
	{
		AnnElementRef ref = v->other_links->element[j];
		AnnCodeFactors next = {ann_links_a(v->other_links)[j], ann_links_f(v->other_links)[j], 0};
		AnnCodeFactors factors = v->other_set->factors[i];
		uint8		next_code[ANN_MAX_LINK_BYTES];

		if (ann_same_tid(&ref, &node) || v->dead(ref, v->state) || ann_link_set_has(v->set, ref))
			continue;
		ann_links_code(info, v->other_links, j, next_code);
		memcpy(v->code, ann_link_set_code(v->other_set, i), info->link_bytes);
		ann_join_links(info, v->other_links->norm2, next_code, &next, v->residual, v->code,
					   &factors);
		ann_link_set_add(v->set, ref, &factors, v->code);
	}
}

/* Add the nearest of the candidates to the set, behind the node's own links. */
static void
read_candidates(AnnGraphVacuum *v, Candidate *candidates, int n)
{
	const AnnIndex *info = v->at->info;
	int			wanted = READ_PER_M * info->meta.m;

	qsort(candidates, n, sizeof(Candidate), compare_candidates);
	for (int i = 0; i < n && wanted > 0; i++)
	{
		AnnCodeFactors factors;

		if (ann_link_set_has(v->set, candidates[i].ref) ||
			!ann_node_vector(v->reader, candidates[i].ref, v->other, NULL))
			continue;
		ann_make_link(info, v->v->rotated, v->other->rotated, (float) v->other->norm2,
					  v->residual, v->code, &factors);
		ann_link_set_add(v->set, candidates[i].ref, &factors, v->code);
		wanted--;
	}
}

static void
remove_dead(AnnGraphVacuum *v, AnnLinks *links)
{
	bool		gone[ANN_MAX_LINKS + ANN_LINK_STEP];

	for (int i = 0; i < links->count; i++)
		gone[i] = v->dead(links->element[i], v->state);
	ann_links_remove(v->at->info, links, gone);
}

/* The links to dead nodes go from the copy, v->links; v->set becomes the others. */
static void
load_living(AnnGraphVacuum *v)
{
	remove_dead(v, v->links);
	ann_link_set_load(v->set, v->links);
}

/* Put a link into a record of an edit's page, if it has or can be given room. */
static void
put_link(AnnGraphVacuum *v, Page page, int slot, int i)
{
	const AnnIndex *info = v->at->info;
	AnnLinks   *links = ann_record_links(info, ann_record_get(page, slot));
	AnnLink		link = {v->set->element[i], v->set->factors[i], ann_link_set_code(v->set, i)};

	if (ann_links_find(links, link.element) >= 0)
		return;
	links = ann_record_make_place(info, page, slot);
	if (links != NULL)
		ann_links_put(info, links, links->count, &link);
}

/*
 * One edit of the node: links to the dead go, those that the set has chosen beyond
 * the first 'kept' come.  Others may have added some meanwhile.
 */
static void
change_links(AnnGraphVacuum *v, AnnElementRef ref, int kept)
{
	const AnnIndex *info = v->at->info;
	Buffer		buffer;
	AnnEdit		edit;
	Page		page;
	int			slot;

	if (!ann_record_lock(v->at->index, info, v->at->number, ref, v->strategy, &buffer, &slot))
		return;
	ann_edit_begin(&edit, v->at->index);
	page = ann_edit_add(&edit, buffer);
	remove_dead(v, ann_record_links(info, ann_record_get(page, slot)));
	for (int i = kept; i < v->set->count; i++)
	{
		if (v->set->kept[i])
			put_link(v, page, slot, i);
	}
	ann_edit_commit(&edit);
}

/* The candidates of a node, whose links are v->links and whose vector is v->v. */
static void
add_by_vectors(AnnGraphVacuum *v, AnnElementRef ref)
{
	const AnnIndex *info = v->at->info;
	AnnElementRef dead[ANN_MAX_LINKS + ANN_LINK_STEP];
	int			num_dead = 0;
	int			n = 0;
	Candidate  *candidates;

	for (int i = 0; i < v->links->count; i++)
	{
		if (v->dead(v->links->element[i], v->state))
			dead[num_dead++] = v->links->element[i];
	}
	candidates = palloc(sizeof(Candidate) * (num_dead + 1) * (info->max_links + ANN_LINK_STEP));
	load_living(v);
	for (int i = 0; i < num_dead; i++)
		n += add_candidates(v, ref, dead[i], candidates + n);
	read_candidates(v, candidates, n);
}

/* The same where the index has no vectors. */
static void
add_by_codes(AnnGraphVacuum *v, AnnElementRef ref)
{
	ann_link_set_load(v->other_set, v->links);
	load_living(v);
	for (int i = 0; i < v->other_set->count; i++)
	{
		if (v->dead(v->other_set->element[i], v->state))
			join_candidates(v, ref, i);
	}
}

static void
mend_node(AnnGraphVacuum *v, AnnElementRef ref)
{
	const AnnIndex *info = v->at->info;
	bool		has_vectors = info->meta.scalar != ANN_SCALAR_NONE;
	int			before;

	if (!ann_node_vector(v->reader, ref, has_vectors ? v->v : NULL, v->links))
		return;
	before = v->links->count;
	if (has_vectors)
		add_by_vectors(v, ref);
	else
		add_by_codes(v, ref);
	ann_link_set_choose(v->set, v->links->count, info->max_links, before);
	change_links(v, ref, v->links->count);
}

static void
mend_page(AnnGraphVacuum *v, BlockNumber block)
{
	v->found.count = 0;
	ann_element_page_visit(v->at->index, v->at->info, block, v->strategy, note_mendable, v);
	for (uint32 i = 0; i < v->found.count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(v->node_context);

		ann_vacuum_delay_point();
		mend_node(v, v->found.refs[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(v->node_context);
	}
}

void
ann_graph_vacuum_mend(AnnGraphVacuum *vacuum)
{
	for (uint32 i = 0; i < vacuum->num_ours; i++)
	{
		ann_vacuum_delay_point();
		mend_page(vacuum, vacuum->ours[i]);
	}
}

/* ---- reaching ---- */

/* The bit of a slot; false for pages that are younger than the walk. */
static bool
find_bit(const AnnGraphVacuum *v, AnnElementRef ref, Size *byte, uint8 *mask)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	uint32		slot = ItemPointerGetOffsetNumberNoCheck(&ref) - 1;
	Size		bit = (Size) block * v->at->info->elements_per_page + slot;

	if (block >= v->blocks || slot >= (uint32) v->at->info->elements_per_page)
		return false;
	*byte = bit / 8;
	*mask = (uint8) (1 << bit % 8);
	return true;
}

static bool
is_reached(const AnnGraphVacuum *v, AnnElementRef ref)
{
	Size		byte;
	uint8		mask;

	return !find_bit(v, ref, &byte, &mask) || (v->reached[byte] & mask) != 0;
}

/* Something leads to a node. */
static void
note_reached(AnnGraphVacuum *v, AnnElementRef ref)
{
	Size		byte;
	uint8		mask;

	if (!find_bit(v, ref, &byte, &mask) || (v->reached[byte] & mask) != 0)
		return;
	v->reached[byte] |= mask;

	/* an insert that had seen it alive leads to it; it will be gone */
	if (!v->dead(ref, v->state))
		push_ref(&v->queue, ref);
}

void
ann_graph_vacuum_entry(AnnGraphVacuum *vacuum, AnnElementRef ref)
{
	note_reached(vacuum, ref);
	if (vacuum->entries.count < FEW_ENTRIES)
		push_ref(&vacuum->entries, ref);
}

/* AnnRecordVisitor: what a node leads to. */
static void
note_neighbours(AnnElementRef ref, const AnnElement *record, const AnnLinks *links,
				void *state)
{
	for (int i = 0; i < links->count; i++)
		note_reached(state, links->element[i]);
}

/* Go wherever links lead from the nodes of the queue. */
static void
walk(AnnGraphVacuum *v)
{
	while (v->queue.count > 0)
	{
		AnnElementRef ref = v->queue.refs[--v->queue.count];

		ann_vacuum_delay_point();
		ann_record_visit(v->at->index, v->at->info, v->at->number, ref, note_neighbours, v,
						 v->scratch);
	}
}

/* AnnElementVisitor. */
static void
note_unreached(AnnElementRef ref, uint32 chunk, const AnnElement *element, void *state)
{
	AnnGraphVacuum *v = state;

	if (!is_reached(v, ref))
		push_ref(&v->found, ref);
}

/* Let a neighbour that has room lead back to a node, whose links v->links are. */
static bool
link_from_neighbour(AnnGraphVacuum *v, AnnElementRef ref)
{
	ann_link_set_load(v->set, v->links);
	for (int i = 0; i < v->set->count; i++)
	{
		AnnElementRef neighbour = v->set->element[i];
		AnnLink		link = {ref, v->set->factors[i], ann_link_set_code(v->set, i)};

		if (!is_reached(v, neighbour) ||
			!ann_node_vector(v->reader, neighbour, NULL, v->other_links))
			continue;
		ann_reverse_link(v->at->info, v->links->norm2, v->other_links->norm2,
						 ann_link_set_code(v->set, i), &link.factors);
		if (ann_link_add(v->at, neighbour, &link))
			return true;
	}
	return false;
}

/*
 * A node becomes an entry.  If its vector is not known, it is taken to be in the middle
 * of all.
 */
static void
make_entry(AnnGraphVacuum *v, AnnElementRef ref)
{
	AnnTreeInsert insert;

	if (!ann_node_vector(v->reader, ref, v->v, NULL))
	{
		if (v->at->info->meta.scalar != ANN_SCALAR_NONE)
			return;
		v->v->norm2 = 0;
		memset(v->v->rotated, 0, sizeof(float) * v->at->info->padded);
	}
	ann_tree_vector_project_row(v->at->info, v->v);
	ann_tree_insert_begin(&insert, v->at, v->v, v->v);
	ann_tree_insert_find(&insert, 0);
	ann_tree_insert_append(&insert, 0, ref);
}

static void
reach_node(AnnGraphVacuum *v, AnnElementRef ref)
{
	if (ann_node_vector(v->reader, ref, NULL, v->links) && !link_from_neighbour(v, ref))
		make_entry(v, ref);
	note_reached(v, ref);
	walk(v);
}

/* ---- heirs ---- */

void
ann_graph_vacuum_dead_entry(AnnGraphVacuum *vacuum, AnnElementRef ref)
{
	push_ref(&vacuum->dead_entries, ref);
}

static int
compare_refs(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) a, (ItemPointer) b);
}

static bool
is_entry(const AnnGraphVacuum *v, AnnElementRef ref)
{
	for (uint32 i = 0; i < v->entries.count; i++)
	{
		if (ann_same_tid(&v->entries.refs[i], &ref))
			return true;
	}
	return false;
}

/*
 * The living neighbour that is an entry in place of a dead one; or invalid.  If entries
 * are few, it is the first one; else, without vectors, the first that nothing leads to.
 */
static AnnElementRef
find_heir(AnnGraphVacuum *v, AnnElementRef dead)
{
	bool		few = v->entries.count < FEW_ENTRIES;
	AnnElementRef none;

	ItemPointerSetInvalid(&none);
	if ((!few && v->at->info->meta.scalar != ANN_SCALAR_NONE) ||
		!ann_node_vector(v->reader, dead, NULL, v->links))
		return none;
	for (int i = 0; i < v->links->count; i++)
	{
		AnnElementRef ref = v->links->element[i];

		if (!v->dead(ref, v->state) && (few ? !is_entry(v, ref) : !is_reached(v, ref)) &&
			ann_node_vector(v->reader, ref, NULL, v->other_links))
			return ref;
	}
	return none;
}

static void
choose_heirs(AnnGraphVacuum *v)
{
	RefQueue   *dead = &v->dead_entries;

	/* a leaf that is divided meanwhile is visited twice */
	qsort(dead->refs, dead->count, sizeof(AnnElementRef), compare_refs);
	dead->count = (uint32) qunique(dead->refs, dead->count, sizeof(AnnElementRef), compare_refs);
	v->heirs = palloc_extended(sizeof(AnnElementRef) * ((Size) dead->count + 1), MCXT_ALLOC_HUGE);
	v->placed = palloc_extended(sizeof(bool) * ((Size) dead->count + 1),
								MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < dead->count; i++)
	{
		v->heirs[i] = find_heir(v, dead->refs[i]);
		if (ItemPointerIsValid(&v->heirs[i]))
		{
			ann_graph_vacuum_entry(v, v->heirs[i]);
			walk(v);
		}
	}
}

AnnElementRef
ann_graph_vacuum_heir(AnnGraphVacuum *vacuum, AnnElementRef dead)
{
	const RefQueue *entries = &vacuum->dead_entries;
	const AnnElementRef *found = bsearch(&dead, entries->refs, entries->count,
										 sizeof(AnnElementRef), compare_refs);
	AnnElementRef result;

	/* with its vector, it becomes an entry at its own place (ann_graph_vacuum_orphans) */
	ItemPointerSetInvalid(&result);
	if (found != NULL && vacuum->at->info->meta.scalar == ANN_SCALAR_NONE)
	{
		result = vacuum->heirs[found - entries->refs];
		vacuum->placed[found - entries->refs] = true;
	}
	return result;
}

void
ann_graph_vacuum_orphans(AnnGraphVacuum *vacuum)
{
	for (uint32 i = 0; i < vacuum->dead_entries.count; i++)
	{
		if (!vacuum->placed[i] && ItemPointerIsValid(&vacuum->heirs[i]))
			make_entry(vacuum, vacuum->heirs[i]);
	}
	ann_node_reader_end(vacuum->reader);
}

/* ---- all of it ---- */

/* Let something lead to each node of a page. */
static void
reach_page(AnnGraphVacuum *v, BlockNumber block)
{
	v->found.count = 0;
	ann_element_page_visit(v->at->index, v->at->info, block, v->strategy, note_unreached, v);
	for (uint32 i = 0; i < v->found.count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(v->node_context);

		if (!is_reached(v, v->found.refs[i]))
			reach_node(v, v->found.refs[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(v->node_context);
	}
}

void
ann_graph_vacuum_reach(AnnGraphVacuum *vacuum)
{
	walk(vacuum);
	choose_heirs(vacuum);
	for (uint32 i = 0; i < vacuum->num_ours; i++)
	{
		ann_vacuum_delay_point();
		reach_page(vacuum, vacuum->ours[i]);
	}
}

/* ---- a new graph ---- */

/* AnnElementTest. */
static bool
is_dead(AnnElementRef ref, void *state)
{
	return false;
}

/* AnnLeafVisitor: what is in a tree is an entry. */
static void
note_entries(const AnnLeafBlock *block, void *state)
{
	for (uint32 live = block->live; live != 0; live &= live - 1)
		ann_graph_vacuum_entry(state, block->element[pg_rightmost_one_pos32(live)]);
}

/* Find the entries below a node of the tree. */
static void
find_entries(AnnGraphVacuum *v, AnnNodeRef ref)
{
	const AnnIndex *info = v->at->info;
	AnnNode    *node = palloc(info->node_size);

	check_stack_depth();
	ann_vacuum_delay_point();
	if (!ann_node_read(v->at->index, info, ref, node))
		ann_page_corrupted(v->at->index, ref.block, "no node %u", ref.slot);
	if (node->kind == ANN_NODE_SPLIT)
	{
		find_entries(v, node->u.split.child[0]);
		find_entries(v, node->u.split.child[1]);
	}
	else
	{
		AnnLeafId	leaf = {node->u.leaf.first, node->u.leaf.generation};
		char	   *scratch = palloc(info->block_size);

		ann_leaf_scan(v->at->index, info, leaf, note_entries, v, scratch);
		pfree(scratch);
	}
	pfree(node);
}

/* New entries are counted as inserts are, each for many rows: there are none. */
static void
restore_rows(const AnnReshape *at)
{
	AnnEdit		edit;

	ann_chunk_edit(&edit, at->index, at->number)->rows = at->chunk.rows;
	ann_edit_commit(&edit);
}

static void
connect_chunk(AnnReshape *at, BlockNumber blocks, const BlockNumber *ours, uint32 n)
{
	AnnGraphVacuum *v = ann_graph_vacuum_begin(at, blocks, ours, n, is_dead, NULL, NULL);
	AnnNodeRef *roots;
	int			num_roots = ann_roots_read(at->index, &at->chunk, &roots);

	for (int i = 0; i < num_roots; i++)
		find_entries(v, roots[i]);
	ann_graph_vacuum_reach(v);
	ann_graph_vacuum_orphans(v);
	restore_rows(at);
}

/* The pages of elements of all chunks. */
static void
sort_pages(Relation index, BlockNumber blocks, uint32 n, AnnBlockLists *lists)
{
	uint32	   *chunk_of = palloc_extended(sizeof(uint32) * (Size) blocks, MCXT_ALLOC_HUGE);

	for (BlockNumber block = 0; block < blocks; block++)
	{
		AnnPageTail tail;
		Size		room;

		CHECK_FOR_INTERRUPTS();
		chunk_of[block] = ann_page_look(index, block, NULL, &tail, &room) &&
			tail.kind == ANN_PAGE_ELEMENT ? tail.chunk : ANN_NO_CHUNK;
	}
	ann_block_lists_make(lists, chunk_of, blocks, n);
	pfree(chunk_of);
}

void
ann_graph_connect(Relation index, Relation heap, const AnnIndex *info, const AnnChunk *chunks,
				  const bool *wanted, uint32 n)
{
	AnnIndex   *numbers = ann_index_copy(info);
	AnnReshape	at = {index, heap, numbers};
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	AnnBlockLists lists;
	MemoryContext context;
	MemoryContext old;

	sort_pages(index, blocks, n, &lists);
	context = AllocSetContextCreate(CurrentMemoryContext, "ann connect", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (uint32 i = 0; i < n; i++)
	{
		uint32		num_ours;
		const BlockNumber *ours = ann_block_list(&lists, i, &num_ours);

		if (!wanted[i])
			continue;
		at.number = i;
		at.chunk = chunks[i];
		numbers->max_norm = chunks[i].max_norm;
		connect_chunk(&at, blocks, ours, num_ours);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	pfree(lists.blocks);
	pfree(lists.first);
	pfree(numbers);
}
