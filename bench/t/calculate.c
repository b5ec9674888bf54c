/*
 * calculate.c
 *	  What the bench calculates from what it measures, for its tests.
 *
 *	calculate fastest RECALL RECALL:MS...	ms, first and last rung
 *	calculate radius ROWS DISTANCE...		radius, rows within
 *	calculate percentile SHARE VALUE...		value
 *	calculate numbers|integers MIN MAX LIST	the numbers
 *	calculate marks ROWS					the marks
 *	calculate grid COLUMNS CELL...			a table, and the same as CSV
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../curve.h"
#include "../modes.h"

static void
fastest(int n, char **words)
{
	CurvePoint *rungs = xalloc((size_t) n, sizeof(CurvePoint));
	CurvePlace	place;
	double		ms;

	for (int i = 1; i < n; i++)
		sscanf(words[i], "%lf:%lf", &rungs[i - 1].recall, &rungs[i - 1].ms);
	ms = curve_fastest(rungs, n - 1, atof(words[0]), &place);
	printf("%.6g %d %d\n", ms, place.first, place.last);
}

/* Numbers from words. */
static double *
numbers_of(int n, char **words)
{
	double	   *numbers = xalloc((size_t) n, sizeof(double));

	for (int i = 0; i < n; i++)
		numbers[i] = atof(words[i]);
	return numbers;
}

static void
radius(int n, char **words)
{
	int			within;
	double		found = truth_radius(numbers_of(n - 1, words + 1), n - 1, atoll(words[0]), &within);

	printf("%.12g %d\n", found, within);
}

static void
percentile(int n, char **words)
{
	Samples		samples = {0};

	for (int i = 1; i < n; i++)
		samples_add(&samples, atof(words[i]));
	printf("%g\n", samples_percentile(&samples, atof(words[0])));
}

static void
print_list(NumberList list)
{
	for (int i = 0; i < list.n; i++)
		printf("%g%s", list.values[i], i < list.n - 1 ? " " : "\n");
}

static void
numbers(int n, char **words)
{
	(void) n;
	print_list(parse_numbers("list", words[2], atof(words[0]), atof(words[1])));
}

static void
integers(int n, char **words)
{
	(void) n;
	print_list(parse_integers("list", words[2], atoll(words[0]), atoll(words[1])));
}

static void
marks(int n, char **words)
{
	VectorSet	data = {.rows = atoll(words[0])};

	(void) n;
	filter_mark(&data);
	for (int64_t row = 0; row < data.rows; row++)
		printf("%d\n", data.marks[row]);
}

static void
grid(int n, char **words)
{
	int			columns = atoi(words[0]);
	Grid		table = {0};

	for (int i = 1; i < n; i++)
	{
		if ((i - 1) % columns == 0)
			grid_row(&table);
		grid_cell(&table, "%s", words[i]);
	}
	grid_print(&table, 1);
	grid_write_csv(stdout, &table, "data", "\"x\"");
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		int			least;		/* words that must follow */
		void		(*calculate) (int n, char **words);
	}			functions[] = {
		{"fastest", 2, fastest},
		{"radius", 2, radius},
		{"percentile", 2, percentile},
		{"numbers", 3, numbers},
		{"integers", 3, integers},
		{"marks", 1, marks},
		{"grid", 2, grid},
	};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
	{
		if (argc >= functions[i].least + 2 && strcmp(argv[1], functions[i].name) == 0)
		{
			functions[i].calculate(argc - 2, argv + 2);
			return 0;
		}
	}
	usage_error("calculate: unknown function, or too few words");
}
