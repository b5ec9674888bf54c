/*
 * grid.c
 *	  A table of text, printed for people or written for programs.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "grid.h"

/* Begin a row. */
void
grid_row(Grid *grid)
{
	grid->cells = xrealloc(grid->cells, (size_t) grid->rows + 1, sizeof(char **));
	grid->cells[grid->rows++] = xalloc(GRID_MAX_COLUMNS, sizeof(char *));
	grid->columns = 0;
}

/* Add a cell to the row begun last. */
void
grid_cell(Grid *grid, const char *fmt,...)
{
	va_list		args;
	char	   *text;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		fail("out of memory");
	va_end(args);
	grid->cells[grid->rows - 1][grid->columns++] = text;
}

/* The first row. */
void
grid_titles(Grid *grid, const char *const *titles, int n)
{
	grid_row(grid);
	for (int i = 0; i < n; i++)
		grid_cell(grid, "%s", titles[i]);
}

/*
 * Print the grid: the last column and the first 'left' ones are aligned left,
 * the others, numbers, right.
 */
void
grid_print(const Grid *grid, int left)
{
	size_t		width[GRID_MAX_COLUMNS] = {0};

	for (int r = 0; r < grid->rows; r++)
	{
		for (int c = 0; c < grid->columns; c++)
		{
			size_t		len = strlen(grid->cells[r][c]);

			width[c] = len > width[c] ? len : width[c];
		}
	}
	for (int r = 0; r < grid->rows; r++)
	{
		for (int c = 0; c < grid->columns; c++)
		{
			if (c == grid->columns - 1)
				printf("%s\n", grid->cells[r][c]);
			else
				printf("%*s  ", c < left ? -(int) width[c] : (int) width[c],
					   grid->cells[r][c]);
		}
	}
}

void
grid_free(Grid *grid)
{
	for (int r = 0; r < grid->rows; r++)
	{
		for (int c = 0; c < grid->columns; c++)
			free(grid->cells[r][c]);
		free(grid->cells[r]);
	}
	free(grid->cells);
	memset(grid, 0, sizeof(*grid));
}

/* A text field of a CSV file: quoted, quotes doubled. */
void
csv_text(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text != '\0'; text++)
	{
		if (*text == '"')
			fputc('"', file);
		fputc(*text, file);
	}
	fputc('"', file);
}

/* "median ms" is median_ms to programs. */
static void
csv_title(FILE *file, const char *title)
{
	for (; *title != '\0'; title++)
		fputc(*title == ' ' ? '_' : *title, file);
}

/*
 * Write the grid as CSV.  A cell that says "-", which people see, is empty.
 * 'titles' and 'fields' come first in the first line and in the others.
 */
void
grid_write_csv(FILE *file, const Grid *grid, const char *titles, const char *fields)
{
	for (int r = 0; r < grid->rows; r++)
	{
		fputs(r == 0 ? titles : fields, file);
		for (int c = 0; c < grid->columns; c++)
		{
			const char *cell = grid->cells[r][c];

			fputc(',', file);
			if (r == 0)
				csv_title(file, cell);
			else if (strcmp(cell, "-") == 0)
				continue;
			else if (cell[strspn(cell, "0123456789.")] == '\0')
				fputs(cell, file);
			else
				csv_text(file, cell);
		}
		fputc('\n', file);
	}
}
