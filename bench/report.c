/*
 * report.c
 *	  What a run found, and how it is printed.
 *
 * People get two tables, one of indexes and one of settings, and lines about
 * what should not have happened.  Programs get one CSV line per setting with
 * the same figures and nothing rounded away.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* What was measured, where, and how. */
static void
print_conditions(const RunReport *run)
{
	printf("data     %s: %lld rows, %d dimensions; %lld queries, %s", run->data,
		   (long long) run->rows, run->dim, (long long) run->queries, metric_name(run->metric));
	if (run->k > 0)
		printf(", k = %d", run->k);
	printf("\n");
	printf("server   %s, shared_buffers %s\n", run->server, run->shared_buffers);
	printf("latency  one client, prepared, binary; %d round%s%s\n\n", run->rounds,
		   run->rounds == 1 ? "" : "s", run->pinned ? "; client and backend on one CPU" : "");
}

/* What the indexes cost to have; dashes for exact search, which has none. */
static void
print_indexes(const RunReport *run, const IndexReport *indexes, int nindexes)
{
	static const char *const titles[] = {"method", "type", "build s", "peak MB", "of it shared",
		"WAL MB", "temp MB", "index MB", "bytes/row", "index"};
	Grid		grid = {0};

	grid_titles(&grid, titles, 10);
	for (int i = 0; i < nindexes; i++)
	{
		const IndexReport *index = &indexes[i];

		grid_row(&grid);
		grid_cell(&grid, "%s", index->method->name);
		grid_cell(&grid, "%s", index->method->type_name);
		if (index->method->index == NULL)
		{
			for (int c = 0; c < 7; c++)
				grid_cell(&grid, "-");
			grid_cell(&grid, "none");
			continue;
		}
		grid_cell(&grid, "%.2f", index->cost.seconds);
		if (index->cost.memory.known)
		{
			grid_cell(&grid, "%.1f", (double) index->cost.memory.pss_kb / 1024);
			grid_cell(&grid, "%.1f", (double) index->cost.memory.shared_kb / 1024);
		}
		else
		{
			grid_cell(&grid, "n.a.");
			grid_cell(&grid, "n.a.");
		}
		grid_cell(&grid, "%.1f", (double) index->cost.wal_bytes / 1048576);
		grid_cell(&grid, "%.1f", (double) index->cost.temp_bytes / 1048576);
		grid_cell(&grid, "%.1f", (double) index->bytes / 1048576);
		grid_cell(&grid, "%.0f", (double) index->bytes / (double) run->rows);
		grid_cell(&grid, "%s", index->method->index);
	}
	grid_print(&grid, 2);
	grid_free(&grid);
	printf("\n");
}

static char *
setting_label(const SettingReport *setting)
{
	return assignment_label(setting->index->method->ladder_name, setting->setting);
}

/* What the answers cost, and what they were worth. */
static void
print_settings(const RunReport *run, const SettingReport *settings, int nsettings)
{
	Grid		grid = {0};

	grid_row(&grid);
	grid_cell(&grid, "method");
	grid_cell(&grid, "setting");
	grid_cell(&grid, "recall@%d", run->k);
	grid_cell(&grid, "median ms");
	grid_cell(&grid, "p99 ms");
	grid_cell(&grid, "floor ms");
	grid_cell(&grid, "x floor");
	for (int i = 0; i < run->nclient_counts; i++)
		grid_cell(&grid, "qps(%d)", run->client_counts[i]);
	grid_cell(&grid, "pages");
	grid_cell(&grid, "plan");
	for (int s = 0; s < nsettings; s++)
	{
		const SettingReport *setting = &settings[s];

		grid_row(&grid);
		grid_cell(&grid, "%s", setting->index->method->name);
		grid.cells[grid.rows - 1][grid.columns++] = setting_label(setting);
		grid_cell(&grid, "%.4f", setting->recall);
		grid_cell(&grid, "%.3f", setting->median_ms);
		grid_cell(&grid, "%.3f", setting->p99_ms);
		grid_cell(&grid, "%.3f", setting->index->floor_ms);
		grid_cell(&grid, "%.1f", setting->median_ms / setting->index->floor_ms);
		for (int i = 0; i < run->nclient_counts; i++)
			grid_cell(&grid, "%.0f", setting->qps[i]);
		grid_cell(&grid, "%lld", (long long) setting->pages);
		grid_cell(&grid, "%s", setting->plan);
	}
	grid_print(&grid, 2);
	grid_free(&grid);
}

/* What should not be, and would be missed in a table. */
static void
print_complaints(const SettingReport *settings, int nsettings)
{
	for (int s = 0; s < nsettings; s++)
	{
		char	   *label = setting_label(&settings[s]);

		if (settings[s].unsorted > 0)
			printf("%s %s: %lld answers out of order\n", settings[s].index->method->name, label,
				   (long long) settings[s].unsorted);
		if (settings[s].incomplete > 0)
			printf("%s %s: %lld answers with too few rows\n", settings[s].index->method->name,
				   label, (long long) settings[s].incomplete);
		free(label);
	}
}

/* Print everything for people, to stdout. */
void
report_table(const RunReport *run, const IndexReport *indexes, int nindexes,
			 const SettingReport *settings, int nsettings)
{
	print_conditions(run);
	print_indexes(run, indexes, nindexes);
	print_settings(run, settings, nsettings);
	print_complaints(settings, nsettings);
	fflush(stdout);
}

/* A text and the comma after it. */
static void
csv_field(FILE *file, const char *text)
{
	csv_text(file, text);
	fputc(',', file);
}

/* One line of CSV.  Fields that do not apply are empty. */
static void
csv_setting(FILE *file, const RunReport *run, const SettingReport *setting)
{
	const IndexReport *index = setting->index;
	const Method *method = index->method;
	char	   *label = setting_label(setting);

	csv_field(file, run->data);
	fprintf(file, "%lld,%d,%s,%lld,%d,", (long long) run->rows, run->dim,
			metric_name(run->metric), (long long) run->queries, run->k);
	csv_field(file, method->name);
	csv_field(file, method->type_name);
	csv_field(file, method->index != NULL ? method->index : "exact");
	csv_field(file, label);
	fprintf(file, "%.6f,%.4f,%.4f,%.4f,", setting->recall, setting->median_ms,
			setting->p99_ms, index->floor_ms);
	for (int i = 0; i < run->nclient_counts; i++)
		fprintf(file, "%.1f,", setting->qps[i]);
	fprintf(file, "%lld,", (long long) setting->pages);
	csv_field(file, setting->plan);
	fprintf(file, "%lld,%lld,", (long long) setting->unsorted, (long long) setting->incomplete);
	if (method->index != NULL)
		fprintf(file, "%.3f,%lld,", index->cost.seconds, (long long) index->bytes);
	else
		fprintf(file, ",,");
	if (method->index != NULL && index->cost.memory.known)
		fprintf(file, "%lld,%lld,", (long long) index->cost.memory.pss_kb,
				(long long) index->cost.memory.shared_kb);
	else
		fprintf(file, ",,");
	if (method->index != NULL)
		fprintf(file, "%lld,%lld\n", (long long) index->cost.wal_bytes,
				(long long) index->cost.temp_bytes);
	else
		fprintf(file, ",\n");
	free(label);
}

/* A file for programs. */
static FILE *
open_csv(const char *path)
{
	FILE	   *file = fopen(path, "w");

	if (file == NULL)
		fail("%s: %s", path, strerror(errno));
	return file;
}

static void
close_csv(const char *path, FILE *file)
{
	if (fclose(file) != 0)
		fail("%s: %s", path, strerror(errno));
}

/* Write everything for programs. */
void
report_csv(const char *path, const RunReport *run, const SettingReport *settings, int nsettings)
{
	FILE	   *file = open_csv(path);

	fprintf(file, "data,rows,dim,metric,queries,k,method,type,index,setting,"
			"recall,median_ms,p99_ms,floor_ms,");
	for (int i = 0; i < run->nclient_counts; i++)
		fprintf(file, "qps_%d,", run->client_counts[i]);
	fprintf(file, "pages,plan,unsorted,incomplete,build_s,index_bytes,"
			"build_peak_kb,build_peak_shared_kb,build_wal_bytes,build_temp_bytes\n");
	for (int s = 0; s < nsettings; s++)
		csv_setting(file, run, &settings[s]);
	close_csv(path, file);
}

/* Write a mode's figures, with the conditions in each line. */
static void
write_grid(const char *path, const RunReport *run, const Grid *grid)
{
	FILE	   *file = open_csv(path);
	char	   *fields;
	size_t		len;
	FILE	   *text = open_memstream(&fields, &len);

	csv_field(text, run->data);
	fprintf(text, "%lld,%d,%s,%lld", (long long) run->rows, run->dim, metric_name(run->metric),
			(long long) run->queries);
	fclose(text);
	grid_write_csv(file, grid, "data,data_rows,dim,metric,queries", fields);
	free(fields);
	close_csv(path, file);
}

/*
 * Print and, unless 'path' is NULL, write what a mode found.  'left' columns are
 * not numbers.  Frees the grid.
 */
void
report_grid(const RunReport *run, const IndexReport *indexes, int nindexes, Grid *grid,
			int left, const char *path)
{
	print_conditions(run);
	print_indexes(run, indexes, nindexes);
	grid_print(grid, left);
	fflush(stdout);
	if (path != NULL)
		write_grid(path, run, grid);
	grid_free(grid);
}
