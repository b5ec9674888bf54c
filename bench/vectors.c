/*
 * vectors.c
 *	  Readers and writers of vector files.
 *
 * Files come from strangers.  Whatever is not exactly what the ending
 * promises ends the program with one line: file, row, what is wrong.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vectors.h"

typedef enum VectorFormat
{
	FORMAT_FVECS,
	FORMAT_BVECS,
	FORMAT_IVECS,
	FORMAT_CSV
} VectorFormat;

static const struct
{
	const char *ending;
	size_t		width;			/* bytes a component */
}			formats[] = {
	[FORMAT_FVECS] = {".fvecs", 4},
	[FORMAT_BVECS] = {".bvecs", 1},
	[FORMAT_IVECS] = {".ivecs", 4},
	[FORMAT_CSV] = {".csv", 0},
};

struct VectorReader
{
	/* Unchanging, set by open. */
	char	   *path;
	gzFile		file;
	VectorFormat format;

	/* Position. */
	int64_t		row;			/* rows read so far */
	int			dim;			/* of the first row; 0 before it */

	/* The present row. */
	float	   *values;
	int			capacity;		/* of values */
	unsigned char *bytes;		/* its record, or its line with final NUL */
	size_t		bytes_size;
};

/* Numbers byte by byte, so that the machine's own order does not matter. */
static int32_t
read_le32(const unsigned char *p)
{
	return (int32_t) ((uint32_t) p[0] | (uint32_t) p[1] << 8 |
					  (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24);
}

static void
write_le32(unsigned char *p, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char) (value >> (8 * i));
}

static bool
ends_with(const char *text, size_t len, const char *ending)
{
	size_t		n = strlen(ending);

	return len > n && memcmp(text + len - n, ending, n) == 0;
}

/* The format a path's ending promises, a final .gz apart. */
static VectorFormat
format_of(const char *path, bool truth)
{
	size_t		len = strlen(path);

	if (ends_with(path, len, ".gz"))
		len -= 3;
	for (int f = FORMAT_FVECS; f <= FORMAT_CSV; f++)
	{
		if ((f == FORMAT_IVECS) == truth && ends_with(path, len, formats[f].ending))
			return (VectorFormat) f;
	}
	if (truth)
		fail("%s: unknown ending: expected .ivecs, also with .gz", path);
	fail("%s: unknown ending: expected .fvecs, .bvecs or .csv, each also with .gz", path);
}

static VectorReader *
reader_open(const char *path, bool truth)
{
	VectorReader *reader = xalloc(1, sizeof(VectorReader));

	reader->format = format_of(path, truth);
	reader->path = xstrdup(path);
	errno = 0;
	reader->file = gzopen(path, "rb");	/* reads plain files as well */
	if (reader->file == NULL)
		fail("%s: %s", path, errno ? strerror(errno) : "could not be opened");
	gzbuffer(reader->file, 1 << 18);
	return reader;
}

VectorReader *
vectors_open(const char *path)
{
	return reader_open(path, false);
}

void
vectors_close(VectorReader *reader)
{
	gzclose(reader->file);
	free(reader->values);
	free(reader->bytes);
	free(reader->path);
	free(reader);
}

/* zlib reports a damaged or cut stream only when asked. */
static void
check_stream(VectorReader *reader)
{
	int			code;
	const char *message = gzerror(reader->file, &code);

	if (code == Z_ERRNO)
		fail("%s: %s", reader->path, strerror(errno));
	if (code != Z_OK && code != Z_STREAM_END)
		fail("%s: compressed data is damaged or cut off after row %lld: %s",
			 reader->path, (long long) reader->row, message);
}

/* Read up to 'size' bytes; fewer only at the end of the file. */
static size_t
read_bytes(VectorReader *reader, size_t size)
{
	int			n;

	if (size > reader->bytes_size)
	{
		reader->bytes = xrealloc(reader->bytes, size, 1);
		reader->bytes_size = size;
	}
	n = gzread(reader->file, reader->bytes, (unsigned) size);
	check_stream(reader);
	return n < 0 ? 0 : (size_t) n;
}

/* Judge a row's dimension, and make room for the first. */
static void
check_dimension(VectorReader *reader, int64_t dim)
{
	if (dim < 1 || dim > BENCH_MAX_DIM)
		fail("%s: row %lld: dimension %lld is not between 1 and %d", reader->path,
			 (long long) reader->row, (long long) dim, BENCH_MAX_DIM);
	if (reader->dim != 0 && dim != reader->dim)
		fail("%s: row %lld: dimension %lld differs from the first row's %d", reader->path,
			 (long long) reader->row, (long long) dim, reader->dim);
	reader->dim = (int) dim;
}

/*
 * Read the next record of a binary file into reader->bytes, without its
 * leading dimension.  False at the end of the file.
 */
static bool
next_record(VectorReader *reader)
{
	size_t		got = read_bytes(reader, 4);
	size_t		size;

	if (got == 0)
		return false;
	if (got < 4)
		fail("%s: %zu trailing byte%s after row %lld", reader->path, got,
			 got == 1 ? "" : "s", (long long) reader->row - 1);
	check_dimension(reader, read_le32(reader->bytes));

	size = (size_t) reader->dim * formats[reader->format].width;
	got = read_bytes(reader, size);
	if (got < size)
		fail("%s: row %lld: truncated: %zu of %zu bytes", reader->path,
			 (long long) reader->row, got, size);
	return true;
}

/* Make room for 'n' values.  CSV tells their number only at the end. */
static void
reserve_values(VectorReader *reader, int n)
{
	if (n <= reader->capacity)
		return;
	reader->capacity = n * 2;
	reader->values = xrealloc(reader->values, (size_t) reader->capacity, sizeof(float));
}

/* Turn the present record into values. */
static void
decode_record(VectorReader *reader)
{
	reserve_values(reader, reader->dim);
	for (int i = 0; i < reader->dim; i++)
	{
		int32_t		bits;

		if (reader->format == FORMAT_BVECS)
		{
			reader->values[i] = reader->bytes[i];
			continue;
		}
		bits = read_le32(reader->bytes + 4 * (size_t) i);
		memcpy(&reader->values[i], &bits, sizeof(float));
		if (!isfinite(reader->values[i]))
			fail("%s: row %lld: component %d is not a finite number",
				 reader->path, (long long) reader->row, i + 1);
	}
}

/* Read a line without its end.  False at the end of the file. */
static bool
next_line(VectorReader *reader)
{
	size_t		used = 0;

	for (;;)
	{
		if (used + 2 > reader->bytes_size)
		{
			reader->bytes_size = reader->bytes_size ? reader->bytes_size * 2 : 4096;
			reader->bytes = xrealloc(reader->bytes, reader->bytes_size, 1);
		}
		reader->bytes[used] = '\0';
		if (gzgets(reader->file, (char *) reader->bytes + used,
				   (int) (reader->bytes_size - used)) == NULL)
		{
			if (!gzeof(reader->file))
				check_stream(reader);
			if (used == 0)
				return false;
			break;
		}
		check_stream(reader);
		used += strlen((char *) reader->bytes + used);
		if (used > 0 && reader->bytes[used - 1] == '\n')
			break;
		if (used + 1 < reader->bytes_size)
		{
			if (!gzeof(reader->file))
				fail("%s: line %lld: holds a zero byte", reader->path,
					 (long long) reader->row + 1);
			break;				/* the last line has no end */
		}
		if (used > (size_t) BENCH_MAX_DIM * 64)
			fail("%s: line %lld: longer than any vector", reader->path,
				 (long long) reader->row + 1);
	}
	while (used > 0 && (reader->bytes[used - 1] == '\n' || reader->bytes[used - 1] == '\r'))
		used--;
	reader->bytes[used] = '\0';
	return true;
}

/* CSV is read in an editor: lines, counted from 1, not rows. */
static void __attribute__((noreturn))
bad_line(const VectorReader *reader, const char *what)
{
	fail("%s: line %lld: %s", reader->path, (long long) reader->row + 1, what);
}

/* Parse the numbers between the braces at *text; returns how many. */
static int
parse_components(VectorReader *reader, const char **text)
{
	const char *p = *text;
	int			n = 0;

	for (;;)
	{
		char	   *end;
		float		value = strtof(p, &end);

		if (end == p)
			bad_line(reader, xprintf("component %d is not a number", n + 1));
		if (!isfinite(value))
			bad_line(reader, xprintf("component %d is not a finite number", n + 1));
		if (n >= BENCH_MAX_DIM)
			bad_line(reader, xprintf("more than %d components", BENCH_MAX_DIM));
		reserve_values(reader, n + 1);
		reader->values[n++] = value;
		p = end;
		while (*p == ' ')
			p++;
		if (*p != ',')
			break;
		p++;
	}
	*text = p;
	return n;
}

/* Turn the present line into an id and values. */
static void
decode_line(VectorReader *reader, int64_t *id)
{
	const char *p = (const char *) reader->bytes;
	char	   *end;
	int			n;

	errno = 0;
	*id = strtoll(p, &end, 10);
	if (end == p || errno != 0)
		bad_line(reader, "does not start with a whole number, the id");
	p = end;
	if (strncmp(p, ",\"{", 3) != 0)
		bad_line(reader, "the id is not followed by ,\"{");
	p += 3;
	if (*p == '}')
		bad_line(reader, "the vector is empty");
	n = parse_components(reader, &p);
	if (strcmp(p, "}\"") != 0)
		bad_line(reader, xprintf("component %d is not followed by a comma, or by }\" and "
								 "the end of the line", n));
	if (reader->dim != 0 && n != reader->dim)
		bad_line(reader, xprintf("dimension %d differs from the first row's %d",
								 n, reader->dim));
	reader->dim = n;
}

/*
 * The next vector, or NULL at the end.  It belongs to the reader and lasts
 * until the next call.
 */
const float *
vectors_next(VectorReader *reader, int64_t *id, int *dim)
{
	bool		found;

	if (reader->format == FORMAT_CSV)
	{
		found = next_line(reader);
		if (found)
			decode_line(reader, id);
	}
	else
	{
		found = next_record(reader);
		*id = reader->row;
		if (found)
			decode_record(reader);
	}
	if (!found && reader->row == 0)
		fail("%s: holds no rows", reader->path);
	if (!found)
		return NULL;
	*dim = reader->dim;
	reader->row++;
	return reader->values;
}

typedef struct IdRow
{
	int64_t		id;
	int64_t		row;
} IdRow;

static int
compare_id_rows(const void *a, const void *b)
{
	int64_t		x = ((const IdRow *) a)->id;
	int64_t		y = ((const IdRow *) b)->id;

	return (x > y) - (x < y);
}

/* Order the rows by id, so that vectors_find is quick; ids must differ. */
static void
index_ids(VectorSet *set)
{
	IdRow	   *pairs = xalloc((size_t) set->rows, sizeof(IdRow));

	for (int64_t i = 0; i < set->rows; i++)
		pairs[i] = (IdRow) {set->ids[i], i};
	qsort(pairs, (size_t) set->rows, sizeof(IdRow), compare_id_rows);
	set->by_id = xrealloc(set->by_id, (size_t) set->rows, sizeof(int64_t));
	for (int64_t i = 0; i < set->rows; i++)
	{
		if (i > 0 && pairs[i].id == pairs[i - 1].id)
			fail("%s: id %lld occurs twice", set->name, (long long) pairs[i].id);
		set->by_id[i] = pairs[i].row;
	}
	free(pairs);
}

/* Read a whole file, or its first 'limit' rows (0: all). */
VectorSet *
vectors_read(const char *path, int64_t limit)
{
	VectorReader *reader = vectors_open(path);
	VectorSet  *set = xalloc(1, sizeof(VectorSet));
	const float *row;
	int64_t		capacity = 0;
	int64_t		id;

	set->name = xstrdup(path);
	while ((limit == 0 || set->rows < limit) &&
		   (row = vectors_next(reader, &id, &set->dim)) != NULL)
	{
		if (set->rows == capacity)
		{
			capacity = capacity ? capacity * 2 : 1024;
			set->values = xrealloc(set->values, (size_t) (capacity * set->dim), sizeof(float));
			if (reader->format == FORMAT_CSV)
				set->ids = xrealloc(set->ids, (size_t) capacity, sizeof(int64_t));
		}
		memcpy(set->values + set->rows * set->dim, row, (size_t) set->dim * sizeof(float));
		if (set->ids != NULL)
			set->ids[set->rows] = id;
		set->rows++;
	}
	vectors_close(reader);
	if (set->ids != NULL)
		index_ids(set);
	return set;
}

/* Keep the first 'rows' rows only (0: all). */
void
vectors_truncate(VectorSet *set, int64_t rows)
{
	if (rows == 0 || rows >= set->rows)
		return;
	set->rows = rows;
	if (set->ids != NULL)
		index_ids(set);
}

/* The row with the given id, or -1. */
int64_t
vectors_find(const VectorSet *set, int64_t id)
{
	int64_t		low = 0;
	int64_t		high = set->rows;

	if (set->ids == NULL)
		return id >= 0 && id < set->rows ? id : -1;
	while (low < high)
	{
		int64_t		mid = low + (high - low) / 2;

		if (set->ids[set->by_id[mid]] < id)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == set->rows || set->ids[set->by_id[low]] != id)
		return -1;
	return set->by_id[low];
}

/* A fingerprint of shape, ids and values, for caches. */
uint64_t
vectors_hash(const VectorSet *set)
{
	uint64_t	hash = (uint64_t) set->rows * 0x9E3779B97F4A7C15u + (uint64_t) set->dim;

	for (int64_t i = 0; i < set->rows * set->dim; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &set->values[i], sizeof(bits));
		hash = (hash ^ bits) * 0xD6E8FEB86659FD93u;
		hash ^= hash >> 32;
	}
	for (int64_t i = 0; set->ids != NULL && i < set->rows; i++)
	{
		hash = (hash ^ (uint64_t) set->ids[i]) * 0xD6E8FEB86659FD93u;
		hash ^= hash >> 32;
	}
	return hash;
}

/* Write rows of 'dim' 32-bit numbers as .fvecs and .ivecs have them. */
static void
write_rows(const char *path, const void *numbers, int64_t rows, int dim)
{
	FILE	   *file = fopen(path, "wb");
	const unsigned char *next = numbers;
	unsigned char *record = xalloc((size_t) dim + 1, 4);

	if (file == NULL)
		fail("%s: %s", path, strerror(errno));
	write_le32(record, (uint32_t) dim);
	for (int64_t row = 0; row < rows; row++)
	{
		for (int i = 1; i <= dim; i++, next += 4)
		{
			uint32_t	bits;

			memcpy(&bits, next, sizeof(bits));
			write_le32(record + 4 * (size_t) i, bits);
		}
		if (fwrite(record, 4, (size_t) dim + 1, file) != (size_t) dim + 1)
			fail("%s: %s", path, strerror(errno));
	}
	if (fclose(file) != 0)
		fail("%s: %s", path, strerror(errno));
	free(record);
}

/* Write the values as .fvecs; ids are lost. */
void
vectors_write(const char *path, const VectorSet *set)
{
	write_rows(path, set->values, set->rows, set->dim);
}

/* Read ground truth; every row must name equally many neighbours. */
Neighbours *
ivecs_read(const char *path)
{
	VectorReader *reader = reader_open(path, true);
	Neighbours *truth = xalloc(1, sizeof(Neighbours));

	while (next_record(reader))
	{
		int32_t    *row;

		truth->k = reader->dim;
		truth->rows = xrealloc(truth->rows, (size_t) ((truth->queries + 1) * truth->k),
							   sizeof(int32_t));
		row = truth->rows + truth->queries * truth->k;
		for (int i = 0; i < truth->k; i++)
		{
			row[i] = read_le32(reader->bytes + 4 * (size_t) i);
			if (row[i] < 0)
				fail("%s: row %lld: neighbour %d is a negative row number",
					 path, (long long) reader->row, i + 1);
		}
		truth->queries++;
		reader->row++;
	}
	if (truth->queries == 0)
		fail("%s: holds no rows", path);
	vectors_close(reader);
	return truth;
}

void
ivecs_write(const char *path, const Neighbours *neighbours)
{
	write_rows(path, neighbours->rows, neighbours->queries, neighbours->k);
}
