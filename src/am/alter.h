/*
 * alter.h
 *	  ALTER INDEX of options that say how an index is built.
 */
#ifndef ANN_ALTER_H
#define ANN_ALTER_H

/* Install the hook; when the library is loaded. */
extern void ann_alter_init(void);

#endif							/* ANN_ALTER_H */
