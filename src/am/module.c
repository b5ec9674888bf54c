/*
 * module.c
 *	  Loading of the library.
 */
#include "postgres.h"

#include "algo/distance.h"
#include "am/limit.h"
#include "am/options.h"
#include "compat.h"

ANN_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	ann_kernels_choose();
	ann_options_init();
	ann_limit_init();
}
