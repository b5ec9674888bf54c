-- Options of an index and settings: values, limits, errors, and when they apply.
CREATE TABLE vectors (vec real[]);
INSERT INTO vectors SELECT ARRAY[i, 1] FROM generate_series(1, 500) i;

-- what both methods have, or have not
CREATE FUNCTION try(method text, options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE format('CREATE INDEX ON vectors USING %I (vec) WITH (%s)', method, options);
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(e'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''));
END
$$;
SELECT options, try('annoy', options) AS result, CASE WHEN try('annoy', options) <> try('ann_hnsw', options) THEN try('ann_hnsw', options) END AS differs
FROM unnest(ARRAY['scalar = f8', 'scalar', 'dimensions = -1', 'dimensions = 16001', 'dimensions = 3', 'scalar = f16, scalar = f32', 'fillfactor = 50']) options;

-- annoy: trees
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = 0);
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = 1001);
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = many);
CREATE INDEX ON vectors USING annoy (vec) WITH (m = 16);
CREATE INDEX vectors_options ON vectors USING annoy (vec)
	WITH (trees = 3, scalar = 'F64', dimensions = 2);
SELECT unnest(reloptions) FROM pg_class WHERE relname = 'vectors_options';
ALTER INDEX vectors_options SET (trees = 4, scalar = none);
ALTER INDEX vectors_options SET (trees = 0);
ALTER INDEX vectors_options RESET (dimensions);
SELECT unnest(reloptions) FROM pg_class WHERE relname = 'vectors_options';
-- they apply to what is built from then on
SELECT trees, scalar, m, ef_construction FROM ann_index_info('vectors_options');
REINDEX INDEX vectors_options;
SELECT trees, scalar, m, ef_construction FROM ann_index_info('vectors_options');
DROP INDEX vectors_options;
-- the most
TRUNCATE vectors;
CREATE INDEX vectors_options ON vectors USING annoy (vec) WITH (trees = 1000, dimensions = 16000);
SELECT trees, dimensions FROM ann_index_info('vectors_options');
DROP INDEX vectors_options;
INSERT INTO vectors SELECT ARRAY[i, 1] FROM generate_series(1, 500) i;

-- ann_hnsw: m, and ef_construction, of which there must be twice as many
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (m = 1);
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (m = 101);
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (m = few);
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (ef_construction = 3);
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (ef_construction = 1001);
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (m = 40, ef_construction = 79);
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (m = 40);
CREATE INDEX ON vectors USING ann_hnsw (vec) WITH (trees = 2);
CREATE INDEX vectors_options ON vectors USING ann_hnsw (vec)
	WITH (m = 2, ef_construction = 4, scalar = 'F64', dimensions = 2);
ALTER INDEX vectors_options SET (m = 3);
ALTER INDEX vectors_options RESET (m);
ALTER INDEX vectors_options SET (m = 40, ef_construction = 80, scalar = none);
ALTER INDEX vectors_options RESET (ef_construction);
ALTER INDEX vectors_options RESET (dimensions);
SELECT unnest(reloptions) FROM pg_class WHERE relname = 'vectors_options';
SELECT trees, scalar, m, ef_construction FROM ann_index_info('vectors_options');
REINDEX INDEX vectors_options;
SELECT trees, scalar, m, ef_construction FROM ann_index_info('vectors_options');
DROP INDEX vectors_options;
-- the most
CREATE INDEX vectors_options ON vectors USING ann_hnsw (vec) WITH (m = 100, ef_construction = 1000);
SELECT m, ef_construction FROM ann_index_info('vectors_options');
SELECT * FROM ann_check('vectors_options', true);
DROP TABLE vectors;
DROP FUNCTION try(text, text);

-- settings
SELECT name, setting, min_val, max_val, context FROM pg_settings WHERE name LIKE 'ann.%' ORDER BY name;
SET ann.search_k = -1;
SET ann.search_k = many;
SET ann.search_k = 2147483648;
SET ann.ef_search = -1;
SET ann.ef_search = 2147483648;
SET ann.max_limit = 0;
SET ann.no_such_setting = 1;
SET ann.search_k = 2147483647;
SHOW ann.search_k;
RESET ann.search_k;
