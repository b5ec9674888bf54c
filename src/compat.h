/*
 * compat.h
 *	  What differs between PostgreSQL 15, 16, 17 and 18.
 *
 * The only file that may test PG_VERSION_NUM.  Included after postgres.h.
 */
#ifndef ANN_COMPAT_H
#define ANN_COMPAT_H

#include "fmgr.h"

/* 16 moved VARSIZE_ANY and its siblings out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 spells the attribute as C11 does, before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* From 18 on a module tells its name and version. */
#if PG_VERSION_NUM >= 180000
#define ANN_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "ann", .version = "0.1.0")
#else
#define ANN_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif							/* ANN_COMPAT_H */
