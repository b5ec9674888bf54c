-- Bad input at CREATE INDEX, INSERT, UPDATE, COPY and in queries: who is to
-- blame, and the SQLSTATE.  And the extremes that are good input: 1 and 16,000
-- dimensions, no row, one row, equal rows.  Options are in options.
SET enable_seqscan = off;

-- SQLSTATE, message and context of what a statement raises
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	context text;
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(e'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), substring(context FROM '^row [^\n]*'));
END
$$;
CREATE FUNCTION repeated(x float8, n integer) RETURNS float8[] LANGUAGE sql IMMUTABLE AS 'SELECT array_fill(x, ARRAY[n])';

-- CREATE INDEX names the row
CREATE TABLE bad (id serial, vec real[]);
INSERT INTO bad (vec) SELECT ARRAY[i, i, i] FROM generate_series(1, 300) i;
CREATE TABLE vectors (what text, vec real[]);
INSERT INTO vectors VALUES ('shorter', '{1,2}'), ('longer', '{1,2,3,4}'), ('empty', '{}'), ('matrix', '{{1,2,3}}'),
	('NULL element', '{1,NULL,3}'), ('NaN', '{1,2,NaN}'), ('infinity', '{1,-Infinity,3}'), ('too long', repeated(1, 16001)::real[]);
CREATE FUNCTION try_build(vec real[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	INSERT INTO bad (id, vec) VALUES (1000, vec);
	result := try('CREATE INDEX bad_index ON bad USING annoy (vec)');
	DELETE FROM bad WHERE id = 1000;
	RETURN result;
END
$$;
\pset format unaligned
SELECT what, regexp_replace(try_build(vec), '\(\d+,\d+\)', 'CTID') AS result FROM vectors;
-- the very row
INSERT INTO bad VALUES (1000, '{1,2}');
SELECT substring(try('CREATE INDEX bad_index ON bad USING annoy (vec)') FROM 'row (\(\d+,\d+\))') AS named \gset
SELECT ctid = :'named' AS found FROM bad WHERE id = 1000;
SELECT regexp_replace(try('CREATE INDEX bad_index ON bad USING annoy ((vec || 1::real)) WHERE id = 1000 OR id = 1'), '\(\d+,\d+\)', 'CTID') AS result;
SELECT try('CREATE INDEX bad_index ON bad USING annoy (vec) WITH (dimensions = 2)') LIKE '22000: vector of 3 dimensions does not fit%' AS by_option;
-- dead rows are in nobody's way, be they the first or the last, recent or old
BEGIN;
DELETE FROM bad WHERE id = 1000;
UPDATE bad SET vec = '{NaN,NaN,NaN}' WHERE id = 5;
UPDATE bad SET vec = '{5,5,5}' WHERE id = 5;
CREATE INDEX bad_index ON bad USING annoy (vec);
SELECT id, vec <-> '{5,5,5.5}' AS distance FROM bad ORDER BY vec <-> '{5,5,5.5}' LIMIT 2;
COMMIT;
DROP INDEX bad_index;
CREATE TABLE other (vec double precision[]);
INSERT INTO other VALUES ('{1,2,3,4,5}'), ('{}'), (NULL), ('{{1}}');
DELETE FROM other;
INSERT INTO other VALUES ('{1,2}'), ('{3,4}');
CREATE INDEX other_index ON other USING annoy (vec double_ip_ops);
SELECT dimensions FROM ann_index_info('other_index');
SELECT vec <#> '{1,1}' FROM other ORDER BY vec <#> '{1,1}' LIMIT 5;
DROP TABLE other;

-- INSERT, UPDATE, COPY
CREATE INDEX bad_index ON bad USING annoy (vec);
SELECT what, try(format('INSERT INTO bad (vec) VALUES (%L)', vec)) AS result FROM vectors;
SELECT what, substring(try(format('UPDATE bad SET vec = %L WHERE id = 7', vec)) FROM '^(.....):') AS result FROM vectors;
COPY bad (vec) FROM stdin;
{1,2,3}
{1,2}
\.
COPY bad (vec) FROM stdin;
{1,2,Infinity}
\.
-- a statement that fails leaves nothing
INSERT INTO bad (id, vec) SELECT 2000 + i, CASE WHEN i < 20 THEN ARRAY[i, i, i] ELSE ARRAY[i] END FROM generate_series(1, 20) i;
SELECT count(*), max(id) FROM (SELECT id FROM bad ORDER BY vec <-> '{2005,2005,2005}' LIMIT 1000) s;
SELECT id FROM bad ORDER BY vec <-> '{5,5,5}' LIMIT 1;
UPDATE bad SET vec = vec WHERE id = 7;

-- queries are subject to the same rules
SELECT what, try(format('SELECT id FROM bad ORDER BY vec <-> %L LIMIT 5', vec)) AS result FROM vectors;
SELECT try('SELECT id FROM bad ORDER BY vec <-> ' || query || ' LIMIT 5') AS result
FROM unnest(ARRAY['ARRAY[1, 2]', 'ARRAY[0.5, 1]', '''{1,2,NaN}''::float8[]', 'ARRAY[1, 2, ''NaN'']::numeric[]',
	'''{1,2,NULL}''::bigint[]', '''{}''::smallint[]', 'ARRAY[1, 2, NULL::numeric]', 'NULL']) query;
-- where nothing is known of the dimensions, or nothing is there, too
CREATE TABLE nothing (vec real[]);
CREATE INDEX ON nothing USING annoy (vec);
CREATE INDEX ON nothing USING annoy (vec real_ip_ops) WITH (dimensions = 3);
SELECT what, substring(try(format('SELECT * FROM nothing ORDER BY vec <-> %L LIMIT 5', vec)) FROM '^[^:]*') AS l2,
	substring(try(format('SELECT * FROM nothing ORDER BY vec <#> %L LIMIT 5', vec)) FROM '^[^:]*') AS ip FROM vectors;
-- refused rows do not decide on the dimensions, the first good one does
INSERT INTO nothing VALUES ('{1,NaN,3,4}');
DROP INDEX nothing_vec_idx1;
INSERT INTO nothing VALUES ('{1,2}');
INSERT INTO nothing VALUES ('{1,2,3}');
SELECT dimensions FROM ann_index_info('nothing_vec_idx');
-- until the table is empty again
TRUNCATE nothing;
INSERT INTO nothing VALUES ('{1,2,3}');
SELECT dimensions FROM ann_index_info('nothing_vec_idx');
DROP TABLE nothing, bad, vectors;
DROP FUNCTION try_build(real[]);
\pset format aligned

-- Tables of few or peculiar rows, built, and filled after CREATE INDEX: do both
-- give the ten nearest?
CREATE FUNCTION small(rows text, class text, operator text, query text, scalar text DEFAULT 'f16',
	OUT n integer, OUT built boolean, OUT inserted boolean, OUT nearest float8) LANGUAGE plpgsql AS $$
DECLARE
	type text := CASE WHEN class LIKE 'real%' THEN 'real[]' ELSE 'float8[]' END;
	ask text := format('SELECT array_agg(x) FROM (SELECT vec %1$s %2$s AS x FROM %%I ORDER BY vec %1$s %2$s LIMIT 10) s', operator, query);
	truth float8[];
	by_build float8[];
	by_insert float8[];
BEGIN
	EXECUTE format('CREATE TEMP TABLE a (vec %1$s); CREATE TEMP TABLE b (vec %1$s); INSERT INTO a %2$s;
		CREATE INDEX ON a USING annoy (vec %3$s) WITH (scalar = %4$s); CREATE INDEX ON b USING annoy (vec %3$s) WITH (scalar = %4$s);
		INSERT INTO b %2$s', type, rows, class, scalar);
	EXECUTE format('SELECT array_agg(x) FROM (SELECT (vec %1$s %2$s) + 0 AS x FROM a ORDER BY x LIMIT 10) s', operator, query) INTO truth;
	EXECUTE format(ask, 'a') INTO by_build;
	EXECUTE format(ask, 'b') INTO by_insert;
	n := cardinality(by_build);
	built := by_build IS NOT DISTINCT FROM truth;
	inserted := by_insert IS NOT DISTINCT FROM truth;
	nearest := truth[1];
	DROP TABLE a, b;
END
$$;
SELECT s.* FROM unnest(ARRAY['SELECT NULL::real[] LIMIT 0', 'VALUES (NULL::real[])', 'SELECT NULL::real[] FROM generate_series(1, 500)',
	$$VALUES ('{1,2,3}'::real[])$$, $$VALUES ('{1,2,3}'::real[]), ('{3,2,1}')$$, $$VALUES ('{1,2,3}'::real[]), (NULL)$$,
	$$SELECT '{1,2,3}'::real[] FROM generate_series(1, 3000)$$, $$SELECT '{0,0,0}'::real[] FROM generate_series(1, 3)$$,
	$$SELECT CASE WHEN i % 2 = 0 THEN '{1,2,3}'::real[] ELSE '{3,4,5}' END FROM generate_series(1, 2000) i$$]) rows,
	small(rows, 'real_l2_ops', '<->', '''{1,2,4}''') s;
SELECT s.* FROM unnest(ARRAY['SELECT NULL::float8[] LIMIT 0', $$VALUES ('{0,0,0}'::float8[])$$, $$VALUES ('{0,0,0}'::float8[]), (NULL), ('{1,2,4}')$$,
	$$SELECT '{0,0,0}'::float8[] FROM generate_series(1, 500)$$, $$VALUES ('{1e-50,0,0}'::float8[]), ('{0,1e-60,1e-61}'), ('{0,0,0}'), ('{1e-170,0,0}'), ('{1e60,1e60,1e60}')$$]) rows,
	small(rows, 'double_cosine_ops', '<=>', '''{1,2,4}''') s;
SELECT scalar, s.* FROM unnest(ARRAY['f64', 'f32', 'f16', 'i8', 'none']) scalar,
	small($$VALUES ('{1e30,2e30}'::float8[]), ('{1e-30,0}'), ('{-1e200,1}'), ('{1e200,1}'), ('{0,0}')$$, 'double_ip_ops', '<#>', '''{1,2}''', scalar) s;

-- 1 and 16,000 dimensions, in every scalar kind and metric, by build and by insert
SELECT scalar, operator, s.n, s.built, s.inserted FROM unnest(ARRAY['f64', 'f32', 'f16', 'i8', 'none']) scalar,
	(VALUES ('<->', 'l2'), ('<=>', 'cosine'), ('<#>', 'ip')) m(operator, metric),
	small('SELECT ARRAY[i] FROM generate_series(-150, 150) i', 'real_' || metric || '_ops', operator, '''{7.3}''', scalar) s;
SELECT scalar, operator, s.n, s.built, s.inserted FROM unnest(ARRAY['f64', 'f32', 'f16', 'i8', 'none']) scalar,
	(VALUES ('<->', 'l2'), ('<=>', 'cosine'), ('<#>', 'ip')) m(operator, metric),
	small('SELECT (SELECT array_agg(sin(i * j)) FROM generate_series(1, 16000) j) FROM generate_series(1, 30) i', 'double_' || metric || '_ops', operator,
		'(SELECT array_agg(sin(5.01 * j)) FROM generate_series(1, 16000) j)', scalar) s;
CREATE TABLE longest (vec real[]);
CREATE INDEX ON longest USING annoy (vec);
INSERT INTO longest VALUES (repeated(1, 16001)::real[]);
INSERT INTO longest VALUES (repeated(1, 16000)::real[]);
SELECT vec <-> repeated(2, 16000) FROM longest ORDER BY vec <-> repeated(2, 16000) LIMIT 1;
SELECT vec <-> repeated(2, 16001) FROM longest ORDER BY vec <-> repeated(2, 16001) LIMIT 1;
DROP TABLE longest;

DROP FUNCTION small(text, text, text, text, text);
DROP FUNCTION try(text);
DROP FUNCTION repeated(float8, integer);
