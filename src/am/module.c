/*
 * module.c
 *	  Loading of the library.
 */
#include "postgres.h"

#include "algo/distance.h"
#include "am/alter.h"
#include "am/limit.h"
#include "am/method.h"
#include "am/options.h"
#include "am/range.h"
#include "am/sort_column.h"
#include "compat.h"
#include "store/page.h"

ANN_MODULE_MAGIC;

/* Bytes of freed memory that a backend keeps for the next query. */
#define KEPT_MEMORY (2 * 1024 * 1024)

void		_PG_init(void);

/*
 * The C library of Linux gives freed memory at the end of the heap back to the
 * kernel once there are 128 kB of it, which a search that ends just about frees:
 * each one would pay for half a dozen system calls and for page faults, a fifth
 * of its time.  Having seen a large chunk freed, it keeps twice as much of it.
 */
static void
keep_freed_memory(void)
{
	pfree(palloc(KEPT_MEMORY / 2));
}

void
_PG_init(void)
{
	keep_freed_memory();
	ann_kernels_choose();
	ann_index_method = ann_method;
	ann_options_init();
	ann_alter_init();
	ann_limit_init();
	ann_range_init();
	ann_sort_column_init();
}
