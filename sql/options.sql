-- Options of an index and settings: values, limits, errors.
CREATE TABLE vectors (vec real[]);
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = 0);
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = 1001);
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = many);
CREATE INDEX ON vectors USING annoy (vec) WITH (trees = 2, trees = 3);
CREATE INDEX ON vectors USING annoy (vec) WITH (scalar = f8);
CREATE INDEX ON vectors USING annoy (vec) WITH (scalar);
CREATE INDEX ON vectors USING annoy (vec) WITH (dimensions = -1);
CREATE INDEX ON vectors USING annoy (vec) WITH (dimensions = 16001);
CREATE INDEX ON vectors USING annoy (vec) WITH (fillfactor = 50);
CREATE INDEX ON vectors USING annoy (vec) WITH (m = 16);

CREATE INDEX vectors_options ON vectors USING annoy (vec)
	WITH (trees = 1000, scalar = 'F64', dimensions = 16000);
SELECT unnest(reloptions) FROM pg_class WHERE relname = 'vectors_options';
ALTER INDEX vectors_options SET (trees = 1, scalar = none);
ALTER INDEX vectors_options SET (trees = 0);
ALTER INDEX vectors_options RESET (dimensions);
SELECT unnest(reloptions) FROM pg_class WHERE relname = 'vectors_options';
DROP TABLE vectors;

SELECT name, setting, min_val, max_val, context FROM pg_settings WHERE name LIKE 'ann.%' ORDER BY name;
SET ann.search_k = -1;
SET ann.search_k = many;
SET ann.search_k = 2147483648;
SET ann.max_limit = 0;
SET ann.no_such_setting = 1;
SET ann.search_k = 2147483647;
SHOW ann.search_k;
RESET ann.search_k;
