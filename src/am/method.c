/*
 * method.c
 *	  The access methods annoy, a forest of random-projection trees, and ann_hnsw,
 *	  a graph of near neighbours.
 *
 * They have all callbacks in common, but for the options: by these an index tells
 * its method.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "am/method.h"
#include "am/opclass.h"
#include "am/options.h"
#include "commands/vacuum.h"
#include "compat.h"

/* ambuildphasename: for pg_stat_progress_create_index. */
char *
ann_phase_name(int64 phase)
{
	switch (phase)
	{
		case ANN_PHASE_INITIALIZE:
			return "initializing";
		case ANN_PHASE_SCAN:
			return "scanning table";
		case ANN_PHASE_DIVIDE:
			return "dividing";
		case ANN_PHASE_BUILD:
			return "building";
		case ANN_PHASE_LINK:
			return "linking";
		case ANN_PHASE_WRITE:
			return "writing";
		case ANN_PHASE_CALIBRATE:
			return "calibrating";
		default:
			return NULL;
	}
}

/* amproperty: core does not know by itself that a column orders by distance. */
static bool
property(Oid index, int attno, IndexAMProperty prop, const char *name,
		 bool *res, bool *isnull)
{
	if (prop != AMPROP_DISTANCE_ORDERABLE || attno == 0)
		return false;
	*res = true;
	return true;
}

/* What they can do.  No row is left out, hence amoptionalkey: NULLs too. */
static void
set_abilities(IndexAmRoutine *am)
{
	am->amstrategies = ANN_NUM_STRATEGIES;
	am->amsupport = ANN_NUM_PROCS;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = false;
	am->amoptionalkey = true;
	am->amsearcharray = false;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	am->ampredlocks = false;
	am->amcanparallel = false;
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = false;
	am->amparallelvacuumoptions = VACUUM_OPTION_NO_PARALLEL;
	am->amkeytype = InvalidOid;
}

/*
 * What is not named, and what versions after 15 have added, is false or NULL for
 * us, as makeNode leaves it.
 */
static IndexAmRoutine *
make_routine(amoptions_function options)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	set_abilities(am);
	am->ambuild = ann_build;
	am->ambuildempty = ann_build_empty;
	am->aminsert = ann_insert;
	am->ambulkdelete = ann_bulkdelete;
	am->amvacuumcleanup = ann_vacuumcleanup;
	am->amcostestimate = ann_cost_estimate;
	am->amoptions = options;
	am->amproperty = property;
	am->ambuildphasename = ann_phase_name;
	am->amvalidate = ann_validate;
	am->ambeginscan = ann_beginscan;
	am->amrescan = ann_rescan;
	am->amgettuple = ann_gettuple;
	am->amendscan = ann_endscan;
	return am;
}

PG_FUNCTION_INFO_V1(annoyhandler);

/* The handler of the access method annoy. */
Datum
annoyhandler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(make_routine(ann_annoy_options_parse));
}

PG_FUNCTION_INFO_V1(annhnswhandler);

/* The handler of the access method ann_hnsw. */
Datum
annhnswhandler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(make_routine(ann_hnsw_options_parse));
}

AnnMethod
ann_method(Relation index)
{
	return index->rd_indam->amoptions == ann_hnsw_options_parse ? ANN_METHOD_HNSW
		: ANN_METHOD_ANNOY;
}
