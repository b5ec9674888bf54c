-- Bad input: every function, in every combination of types, refuses with the
-- same SQLSTATE, message, detail and hint.

-- the whole of each error once
SELECT '{1,2,3}'::real[] <-> '{1,2}'::real[];
SELECT '{}'::real[] <-> '{}'::real[];
SELECT '{{1,2},{3,4}}'::real[] <-> '{1,2,3,4}'::real[];
SELECT '{1,NULL}'::real[] <-> '{1,2}'::real[];

-- Every function and operator, every pair of types, each kind of bad input on
-- each side: the SQLSTATEs that occur, and how often.
CREATE FUNCTION state_of(expression text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT ' || expression;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
CREATE TABLE types (type text);
INSERT INTO types VALUES ('real[]'), ('float8[]'), ('numeric[]'), ('integer[]'), ('bigint[]'), ('smallint[]');
CREATE TABLE bad (what text, value text);
INSERT INTO bad VALUES ('length', '{1,2,3}'), ('empty', '{}'),
	('dimensions', '{{1,2},{3,4}}'), ('null', '{1,NULL}'), ('null first', '{NULL,1}'),
	('fine', '{1,2}');
WITH form(name, pattern) AS (
	VALUES ('l2_distance', 'l2_distance(%s, %s)'), ('cosine_distance', 'cosine_distance(%s, %s)'),
		('negative_inner_product', 'negative_inner_product(%s, %s)'),
		('inner_product', 'inner_product(%s, %s)'),
		('<->', '%s <-> %s'), ('<=>', '%s <=> %s'), ('<#>', '%s <#> %s'))
SELECT what, state, count(*), count(DISTINCT name) AS forms, count(DISTINCT (a.type, b.type)) AS types
FROM form, types a, types b, bad, (VALUES (true), (false)) side("left"),
	LATERAL state_of(format(pattern,
		format('%L::%s', CASE WHEN "left" THEN value ELSE '{1,2}' END, a.type),
		format('%L::%s', CASE WHEN "left" THEN '{1,2}' ELSE value END, b.type))) state
GROUP BY what, state ORDER BY what COLLATE "C", state;
SELECT what, state, count(*)
FROM types, bad, (VALUES ('l2_norm'), ('l2_normalize')) f(name),
	LATERAL state_of(format('%s(%L::%s)', name, value, type)) state
GROUP BY what, state ORDER BY what COLLATE "C", state;

-- both sides bad: the first is reported
SELECT state_of($$'{NULL}'::real[] <-> '{}'::real[]$$) AS null_first,
	state_of($$'{}'::real[] <-> '{NULL}'::real[]$$) AS empty_first;

-- the number of the first NULL
SELECT l2_norm('{1,2,3,4,5,6,7,8,9,NULL,NULL}'::real[]);

-- a numeric that double precision cannot hold
SELECT '{1}'::real[] <-> ARRAY[1e400];

-- what is no vector at all is refused by type
SELECT '{1}'::real[] <-> '{a}'::text[];
SELECT '{1}'::real[] <-> 'not an array';

-- an error leaves nothing behind: the conversion of a query is kept from row
-- to row, and a bad row in between does not spoil it
CREATE TABLE rows_with_bad (id int, vec real[]);
INSERT INTO rows_with_bad VALUES (1, '{1,2}'), (2, '{1}'), (3, '{3,4}');
SELECT id, vec <-> ARRAY[1.0, 2.0] AS l2 FROM rows_with_bad;
SELECT id, vec <-> ARRAY[1.0, 2.0] AS l2 FROM rows_with_bad WHERE cardinality(vec) = 2;

DROP TABLE rows_with_bad, bad, types;
DROP FUNCTION state_of(text);
