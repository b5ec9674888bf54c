/*
 * grid.h
 *	  A table of text, printed for people or written for programs.
 */
#ifndef GRID_H
#define GRID_H

#include <stdio.h>

#include "bench.h"

#define GRID_MAX_COLUMNS	20

typedef struct Grid
{
	char	 ***cells;			/* rows of GRID_MAX_COLUMNS; titles are the first */
	int			rows;
	int			columns;		/* of the row being filled, then of all */
} Grid;

extern void grid_row(Grid *grid);
extern void grid_cell(Grid *grid, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void grid_titles(Grid *grid, const char *const *titles, int n);
extern void grid_print(const Grid *grid, int left);
extern void grid_free(Grid *grid);
extern void csv_text(FILE *file, const char *text);
extern void grid_write_csv(FILE *file, const Grid *grid, const char *titles, const char *fields);

#endif							/* GRID_H */
