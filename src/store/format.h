/*
 * format.h
 *	  Every byte of an index on disk.
 *
 * An index is a file of pages.  Block 0 is the metapage, block 1 the first
 * page of the chunk directory; all others are found by links.  A page starts
 * with PostgreSQL's header and ends with AnnPageTail, which says what kind of
 * page it is; the 8,152 bytes between are "the body".
 *
 *	 +--------------+------------------------------------------+-----------+
 *	 | PageHeader   | body                                     | PageTail  |
 *	 | 24 bytes     | pd_lower is behind the last byte in use  | 16 bytes  |
 *	 +--------------+------------------------------------------+-----------+
 *
 *	 metapage ------- what the index is: AnnMeta
 *	 centre --------- what vectors are stored less of: a float for each dimension
 *	 directory ------ AnnChunk, one for each chunk
 *	   roots -------- AnnNodeRef, one for each tree of the chunk
 *	     node ------- slots of one size: splits, and entries of leaves
 *	       leaf ----- blocks of 32 codes, with the TIDs of their elements
 *	         element  slots of one size: AnnElement and the vector
 *	           rest   what did not fit: vectors longer than a page
 *	           tids   heap TIDs beyond the first of an element
 *	   tids --------- heap TIDs of rows that have no place in a tree
 *
 * That is annoy.  In ann_hnsw an element and the links of its node are one
 * record, and the trees know only those nodes at which searches begin:
 *
 *	       leaf ----- codes of some nodes, as above
 *	         element  records: AnnElement with its vector, then AnnLinks, which
 *	           |      has references and codes of other records
 *
 * Numbers are in the byte order of the machine, as everywhere in PostgreSQL.
 * Sizes and offsets are asserted at the end of this file.
 */
#ifndef ANN_FORMAT_H
#define ANN_FORMAT_H

#include "postgres.h"

#include "storage/block.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"

#define ANN_MAGIC			0x616e6e31	/* "ann1" */
#define ANN_FORMAT_VERSION	5

#define ANN_META_BLOCK		0
#define ANN_DIRECTORY_BLOCK	1

#define ANN_MAX_DIMENSIONS	16000

/* Splits know the first so many rotated dimensions. */
#define ANN_MAX_SPLIT_DIMENSIONS 4096

/* Under inner product, in front of these: what makes all norms equal. */
#define ANN_AUGMENTED_DIMENSIONS 64

/*
 * The end of each page (PageGetSpecialPointer).
 *
 *	 offset	size	field
 *	   0	 4		next		next page of a chain, else InvalidBlockNumber
 *	   4	 4		generation	counted up when the page is used anew
 *	   8	 4		chunk		number of the chunk it belongs to
 *	  12	 1		kind		ANN_PAGE_...
 *	  13	 1		epoch		of elements: low byte of that of the chunk
 *	  14	 2		page_id		ANN_PAGE_ID, for programs that look at files
 */
typedef struct AnnPageTail
{
	BlockNumber next;
	uint32		generation;
	uint32		chunk;
	uint8		kind;
	uint8		epoch;
	uint16		page_id;
} AnnPageTail;

#define ANN_PAGE_ID			0xFFA0

typedef enum AnnPageKind
{
	ANN_PAGE_META = 1,
	ANN_PAGE_DIRECTORY,
	ANN_PAGE_ROOTS,
	ANN_PAGE_NODE,
	ANN_PAGE_LEAF,
	ANN_PAGE_ELEMENT,
	ANN_PAGE_REST,
	ANN_PAGE_TIDS,
	ANN_PAGE_CENTRE,
	ANN_PAGE_FREE
} AnnPageKind;

#define ANN_PAGE_TAIL(page) ((AnnPageTail *) PageGetSpecialPointer(page))
#define ANN_PAGE_BODY(page) ((char *) (page) + SizeOfPageHeaderData)
#define ANN_BODY_SIZE \
	(BLCKSZ - SizeOfPageHeaderData - sizeof(AnnPageTail))

typedef enum AnnMethod
{
	ANN_METHOD_ANNOY = 1,
	ANN_METHOD_HNSW
} AnnMethod;

typedef enum AnnMetric
{
	ANN_METRIC_L2 = 1,
	ANN_METRIC_COSINE,
	ANN_METRIC_IP
} AnnMetric;

/* How the index stores the vector it re-ranks by. */
typedef enum AnnScalar
{
	ANN_SCALAR_F64 = 1,
	ANN_SCALAR_F32,
	ANN_SCALAR_F16,
	ANN_SCALAR_I8,
	ANN_SCALAR_NONE
} AnnScalar;

/*
 * The body of the metapage.
 *
 *	 offset	size	field
 *	   0	 4		magic		ANN_MAGIC
 *	   4	 4		version		ANN_FORMAT_VERSION
 *	   8	 1		method		AnnMethod
 *	   9	 1		metric		AnnMetric
 *	  10	 1		scalar		AnnScalar
 *	  11	 1		code_bits	bits of a code per dimension, 1 or 4
 *	  12	 4		dim			dimensions; 0 while not known
 *	  16	 4		trees		trees of each chunk
 *	  20	 4		chunk_blocks	blocks of the table to a chunk; 0: all of them
 *	  24	 8		seed		of the rotation and of every random choice
 *	  32	 4		epoch		counted up when the dimensions change
 *	  36	 4		centre		first page of the centre; invalid: it is zero
 *	  40	 2		m			of a graph, else 0: a node has up to 2m links
 *	  42	 2		ef_construction	of a graph, else 0
 *	  44	 4		unused		always 0: padding would hold whatever was there
 *
 * Inserts lock it share only.
 */
typedef struct AnnMeta
{
	uint32		magic;
	uint32		version;
	uint8		method;
	uint8		metric;
	uint8		scalar;
	uint8		code_bits;
	uint32		dim;
	uint32		trees;
	uint32		chunk_blocks;
	uint64		seed;
	uint32		epoch;
	BlockNumber centre;
	uint16		m;
	uint16		ef_construction;
	uint32		unused;
} AnnMeta;

/*
 * What searches of the index have been found to reach (am/calibrate.c), in the metapage
 * behind AnnMeta.  The first entry of the directory, which each search reads anyway,
 * tells its number, so that who knows it need not look here.
 *
 *	 offset	size	field
 *	   0	 4		number		counted up with each calibration; 0: there is none
 *	   4	 4		epoch		of AnnMeta: it is of no other one
 *	   8	 8		rows		elements there were
 *	  16	 8		changed		rows that have come or gone since, as far as VACUUM has
 *							counted
 *	  24	 8		counted		elements there were when it did
 *	  32	 4		norm		inner product: mean norm of the queries
 *	  36	 6		num_rungs	for each limit
 *	  42	 2		num_shares	distances that are known
 *	  44	 480	rungs		for each limit: settings (search_k or ef_search), ascending,
 *							and the recall that each reached
 *	 524	 148	distance	[i]: within it a share of 10^(-i/4) of the rows is, in the
 *							mean of the queries; inner product: for one of norm 1
 */
#define ANN_CALIBRATED_LIMITS	3
#define ANN_MAX_RUNGS			20
#define ANN_MAX_SHARES			37
#define ANN_SHARES_PER_DECADE	4

typedef struct AnnRung
{
	float4		setting;
	float4		recall;
} AnnRung;

typedef struct AnnCalibration
{
	uint32		number;
	uint32		epoch;
	float8		rows;
	float8		changed;
	float8		counted;
	float4		norm;
	uint16		num_rungs[ANN_CALIBRATED_LIMITS];
	uint16		num_shares;
	AnnRung		rungs[ANN_CALIBRATED_LIMITS][ANN_MAX_RUNGS];
	float4		distance[ANN_MAX_SHARES];
} AnnCalibration;

/* Where it is in the body of the metapage, all of which is in use up to its end. */
#define ANN_CALIBRATION_OFFSET	64
#define ANN_META_USED			(ANN_CALIBRATION_OFFSET + sizeof(AnnCalibration))

/*
 * Under L2, the vectors that trees and codes see, and those of elements in fewer
 * bits than a float, are the rows' less the centre, for data that are far from
 * the origin (algo/centre.h).  It is as old as the dimensions, and as fixed.
 *
 * The body of a page of the centre is as many float4 as fit; what does not is
 * on the next one.
 */
#define ANN_CENTRE_PER_PAGE ((int) (ANN_BODY_SIZE / sizeof(float4)))

/*
 * Where a list of heap TIDs begins and where it is appended to; both invalid
 * for an empty list.  The pointers are of segments on pages of TIDs.  Whoever
 * has a list has a version of it as well, which is counted up when TIDs move
 * within the list or segments go: a reader who finds it changed reads again.
 */
typedef struct AnnTidList
{
	ItemPointerData head;
	ItemPointerData tail;
} AnnTidList;

/*
 * A chunk in the directory: an index of its own over a range of heap blocks.  That
 * of number n begins with block n * chunk_blocks of the table.
 *
 *	 offset	size	field
 *	   0	 4		roots			first page of roots, one for each tree
 *	   4	 4		leaf_capacity	rows at which a leaf is split
 *	   8	 8		rows			elements, approximately
 *	  16	 8		dead			of these without heap TIDs, approximately
 *	  24	12		nulls			rows whose vector is NULL
 *	  36	12		undefined		rows that have no distance (zero vectors
 *								under cosine)
 *	  48	 4		version			of the two lists
 *	  52	 4		epoch			of AnnMeta; ANN_EPOCH_CHANGING may be set in the
 *								first entry
 *	  56	 4		max_norm		inner product: the M of the augmentation
 *	  60	 4		node_page		a page of nodes that may have room
 *	  64	 4		element_page	of several chunks: a page of elements that may
 *	  68	 4		calibration		in the first entry: the number of the calibration
 *
 * An empty chunk has roots = InvalidBlockNumber.  Its elements are on all pages
 * of elements that carry its number and epoch: who wants them all walks over
 * the file.
 *
 * The first entry is always of the epoch of the metapage.  Another one that is of
 * an earlier epoch has lists, and is empty but for them.
 */
typedef struct AnnChunk
{
	BlockNumber roots;
	uint32		leaf_capacity;
	uint64		rows;
	uint64		dead;
	AnnTidList	nulls;
	AnnTidList	undefined;
	uint32		version;
	uint32		epoch;
	float4		max_norm;
	BlockNumber node_page;
	BlockNumber element_page;
	uint32		calibration;
} AnnChunk;

/*
 * The dimensions are about to change, if no row turns up: who adds one asks
 * again after the lock of the change (am/dimensions.c).
 */
#define ANN_EPOCH_CHANGING UINT32_C(0x80000000)

/*
 * A page of the directory has so many, one after the other; all pages but the last one
 * are full.
 */
#define ANN_CHUNKS_PER_PAGE (ANN_BODY_SIZE / sizeof(AnnChunk))

/* Trees of a chunk, at most. */
#define ANN_MAX_ROOTS 1000

/*
 * A slot of a node page.  'generation' is the low half of the page's: a page
 * that is of another one has other nodes.
 */
typedef struct AnnNodeRef
{
	BlockNumber block;
	uint16		slot;
	uint16		generation;
} AnnNodeRef;

typedef enum AnnNodeKind
{
	ANN_NODE_NONE,				/* a free slot */
	ANN_NODE_SPLIT,
	ANN_NODE_LEAF
} AnnNodeKind;

/*
 * A slot of a node page: a split of a tree, or the entry of a leaf.
 *
 *	 offset	size	field
 *	   0	 4		kind		AnnNodeKind
 *	   4	 4		scale		what the bytes of vector are multiplied by
 *	   8	 4		offset		split: margin = <q, vector> - offset
 *	   8	 4		norm2		leaf: squared norm of the centroid
 *	  12	16		child		split: [0] margin <= 0, [1] margin > 0
 *	  12	 4		rows		leaf: rows in it, approximately
 *	  16	 4		first		leaf: its first page
 *	  20	 4		generation	leaf: that page's
 *	  24	 4		augmented	leaf: inner product: squared norm of what the trees
 *							see of the centroid in front of its dimensions
 *	  28	 v		vector		split: the normal, all zero = flip a coin;
 *								leaf: the centroid that its codes refer to
 *
 * The vector of a split has AnnIndex.tree_dim bytes.  That of a leaf has all rotated
 * dimensions, in a byte each (ann_quantize), or in four bits where bytes would not fit
 * the page (ann_quantize_4bit).  v is the larger one, so that all slots of an index
 * have one size.
 */
typedef struct AnnNode
{
	uint32		kind;
	float4		scale;
	union
	{
		struct
		{
			float4		offset;
			AnnNodeRef	child[2];
		}			split;
		struct
		{
			float4		norm2;
			uint32		rows;
			BlockNumber first;
			uint32		generation;
			float4		augmented;
		}			leaf;
	}			u;
	int8		vector[FLEXIBLE_ARRAY_MEMBER];
} AnnNode;

/*
 * Where an element is: block, and slot + 1, of an element page.  6 bytes, as a
 * heap TID.
 */
typedef ItemPointerData AnnElementRef;

/* Bits of a code per dimension: short vectors need finer ones. */
#define ANN_CODE_BITS(dim) ((dim) >= 256 ? 1 : 4)

#define ANN_BLOCK_ROWS 32

/*
 * The body of a leaf page starts with this.  A leaf is a chain of leaf pages,
 * by 'next'.  It is known by its first page and the generation of that, which
 * all of its pages carry; a leaf that is divided or joined with another one
 * becomes others on other pages.
 *
 *	 offset	size	field
 *	   0	 4		blocks		blocks on this page; 0 where one continues
 *	   4	 4		before		rows there is room for in the pages before
 *	   8	 4		first		the first page of the leaf
 *	  12	 4		generation	its generation
 *	  16	 4		last		in the first page: the page that has the last block
 *	  20	 4		split_at	in the first page: not to be split before it has
 *							so many rows
 */
typedef struct AnnLeafHeader
{
	uint32		blocks;
	uint32		before;
	BlockNumber first;
	uint32		generation;
	BlockNumber last;
	uint32		split_at;
} AnnLeafHeader;

#define ANN_LEAF_ROOM (ANN_BODY_SIZE - sizeof(AnnLeafHeader))

/*
 * A block of a leaf: up to 32 rows.  A leaf page holds as many whole blocks as
 * fit; a block larger than a page starts a page and continues on the next ones,
 * ANN_LEAF_ROOM bytes on each.  All blocks but the last are full.
 *
 *	 offset	size	field
 *	   0	 4		live		bit i: row i is there, and not dead
 *	   4	192		element		where row i's element is
 *	 196	128		a			factors of the codes, see algo/code.h
 *	 324	128		f
 *	 452	128		e
 *	 580	 c		codes		byte-transposed, see algo/code.h
 */
typedef struct AnnLeafBlock
{
	uint32		live;
	AnnElementRef element[ANN_BLOCK_ROWS];
	float4		a[ANN_BLOCK_ROWS];
	float4		f[ANN_BLOCK_ROWS];
	float4		e[ANN_BLOCK_ROWS];
	uint8		codes[FLEXIBLE_ARRAY_MEMBER];
} AnnLeafBlock;

/*
 * A slot of an element page: a stored vector and the rows that carry it.
 *
 *	 offset	size	field
 *	   0	 6		heap		a heap TID; invalid: no row is left, it is dead
 *	   6	 1		exponent	elements of 'vector' are times 2^exponent
 *	   7	 1		state		version of 'more', and ANN_ELEMENT_FREE
 *	   8	 4		error		upper bound of the distance between this vector
 *							and those of the rows; cosine: between the two
 *							when scaled to norm 1
 *	  12	12		more		further heap TIDs
 *	  24	 v		vector		dim elements of the scalar kind; f16 and i8: less the
 *							centre
 *
 * pd_lower is behind the last slot that has ever been in use.  A dead element
 * keeps its slot until vacuum has removed its codes and set ANN_ELEMENT_FREE.
 * The offset of an AnnElementRef is the slot + 1.
 *
 * An element that does not fit a body is alone on its page and goes on in the
 * bodies of the pages "rest" that follow it by 'next'.
 */
typedef struct AnnElement
{
	ItemPointerData heap;
	int8		exponent;
	uint8		state;
	float4		error;
	AnnTidList	more;
	char		vector[FLEXIBLE_ARRAY_MEMBER];
} AnnElement;

#define ANN_ELEMENT_FREE	0x80	/* a slot that may be used again */
#define ANN_ELEMENT_VERSION 0x7F

/*
 * In ann_hnsw an element page has line pointers, as most pages of PostgreSQL, and
 * an element is the first part of a record: an item of as many bytes as it needs,
 * aligned to 8.  Its slot is the line pointer; one that is unused is free.
 *
 *	 offset	size	field
 *	   0	 s		element		AnnElement with its vector, or what fits beside
 *							the most links that there may be
 *	   s	 2		count		links in use: the first ones
 *	 s+2	 2		capacity	links there is room for, a multiple of 8
 *	 s+4	 4		norm2		squared norm of the vector as codes see it
 *	 s+8	6c		element		c = capacity; where the neighbours are
 *			4c		a			factors of their codes, see algo/code.h
 *			4c		f
 *			bc		codes		of the neighbours' residuals from this vector: blocks
 *							of 32, byte-transposed; the last one of as many as
 *							there are
 *
 * The codes know the first AnnIndex.link_dim rotated dimensions.  A record that
 * is to have more links than there is room for grows, if its page has room.
 */
typedef struct AnnLinks
{
	uint16		count;
	uint16		capacity;
	float4		norm2;
	AnnElementRef element[FLEXIBLE_ARRAY_MEMBER];
} AnnLinks;

/* Links come and go one by one, their room by so many. */
#define ANN_LINK_STEP 8

/* Links of a node, at most. */
#define ANN_MAX_M		100
#define ANN_MAX_LINKS	(2 * ANN_MAX_M)

/*
 * A segment of a list of heap TIDs, an item of a page of TIDs.
 *
 *	 offset	size	field
 *	   0	 6		next		the next segment, or invalid
 *	   6	 2		used		how many are in use
 *	   8	6n		tid			as many as the item has room for
 */
typedef struct AnnTidSegment
{
	ItemPointerData next;
	uint16		used;
	ItemPointerData tid[FLEXIBLE_ARRAY_MEMBER];
} AnnTidSegment;

StaticAssertDecl(sizeof(AnnPageTail) == 16, "AnnPageTail");
StaticAssertDecl(ANN_BODY_SIZE == BLCKSZ - 40, "body of a page");
StaticAssertDecl(sizeof(AnnMeta) == 48, "AnnMeta");
StaticAssertDecl(offsetof(AnnMeta, seed) == 24, "AnnMeta.seed");
StaticAssertDecl(offsetof(AnnMeta, centre) == 36, "AnnMeta.centre");
StaticAssertDecl(offsetof(AnnMeta, ef_construction) == 42, "AnnMeta.ef_construction");
StaticAssertDecl(offsetof(AnnMeta, unused) == 44, "AnnMeta.unused");
StaticAssertDecl(sizeof(AnnMeta) <= ANN_CALIBRATION_OFFSET, "AnnMeta before AnnCalibration");
StaticAssertDecl(sizeof(AnnCalibration) == 672, "AnnCalibration");
StaticAssertDecl(offsetof(AnnCalibration, rungs) == 44, "AnnCalibration.rungs");
StaticAssertDecl(offsetof(AnnCalibration, distance) == 524, "AnnCalibration.distance");
StaticAssertDecl(sizeof(AnnTidList) == 12, "AnnTidList");
StaticAssertDecl(sizeof(AnnChunk) == 72, "AnnChunk");
StaticAssertDecl(offsetof(AnnChunk, nulls) == 24, "AnnChunk.nulls");
StaticAssertDecl(offsetof(AnnChunk, version) == 48, "AnnChunk.version");
StaticAssertDecl(sizeof(AnnNodeRef) == 8, "AnnNodeRef");
StaticAssertDecl(offsetof(AnnNode, u.leaf.augmented) == 24, "AnnNode.u.leaf.augmented");
StaticAssertDecl(offsetof(AnnNode, vector) == 28, "AnnNode.vector");
StaticAssertDecl(sizeof(AnnElementRef) == 6, "AnnElementRef");
StaticAssertDecl(sizeof(AnnLeafHeader) == 24, "AnnLeafHeader");
StaticAssertDecl(offsetof(AnnLeafBlock, a) == 196, "AnnLeafBlock.a");
StaticAssertDecl(offsetof(AnnLeafBlock, codes) == 580, "AnnLeafBlock.codes");
StaticAssertDecl(offsetof(AnnElement, state) == 7, "AnnElement.state");
StaticAssertDecl(offsetof(AnnElement, error) == 8, "AnnElement.error");
StaticAssertDecl(offsetof(AnnElement, vector) == 24, "AnnElement.vector");
StaticAssertDecl(offsetof(AnnLinks, element) == 8, "AnnLinks.element");
StaticAssertDecl(offsetof(AnnTidSegment, tid) == 8, "AnnTidSegment.tid");

#endif							/* ANN_FORMAT_H */
