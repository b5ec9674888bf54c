/*
 * graph_insert.h
 *	  A new node of a graph: its neighbours, and links from these to it.
 */
#ifndef ANN_GRAPH_INSERT_H
#define ANN_GRAPH_INSERT_H

#include "postgres.h"

#include "am/reshape.h"
#include "store/element.h"
#include "store/link_pages.h"

/*
 * Add a row: to the element of rows that are equal, where the search for neighbours
 * meets one, or as a new node.  'element' is the row's; 'floats' its vector less the
 * centre, as the element has it, and 'stored' the same as codes see it.  Returns
 * false in the former case.  *ref becomes where the new element is, and *alone
 * whether nothing leads to it.
 *
 * Everything is in the current memory context.  No lock on a page may be held.
 */
extern bool ann_graph_insert(const AnnReshape *at, const AnnElement *element,
							 const AnnTreeVector *stored, const float *floats,
							 AnnElementRef *ref, bool *alone);

/*
 * Reading the vectors of nodes, for who links them.  Where an index has none, they
 * come from the table: at->heap; NULL if that must not be read.
 */
typedef struct AnnNodeReader AnnNodeReader;

extern AnnNodeReader *ann_node_reader_begin(const AnnReshape *at);
extern void ann_node_reader_end(AnnNodeReader *reader);

/*
 * The vector of a node as codes see it, to 'result' (ann_tree_vector_alloc), and its
 * links, to 'links' (with room for info->max_links + ANN_LINK_STEP); either may be
 * NULL.  False if the node is not there any more, or its vector cannot be read.
 */
extern bool ann_node_vector(AnnNodeReader *reader, AnnElementRef ref,
							AnnTreeVector *result, AnnLinks *links);

/*
 * Add a link to the record at ref, which links to no such element yet, if it has
 * room or can be given some.
 */
extern bool ann_link_add(const AnnReshape *at, AnnElementRef ref, const AnnLink *link);

#endif							/* ANN_GRAPH_INSERT_H */
