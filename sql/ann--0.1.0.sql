/* ann--0.1.0.sql: objects of the extension ann */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION ann" to load this file. \quit

CREATE FUNCTION ann_distance_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION ann_distance_support(internal) IS
	'planner support: cost of a distance by dimensions and TOAST';

CREATE FUNCTION ann_simd() RETURNS text
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION ann_simd() IS
	'instruction set whose distance kernels this server uses';

/*
 * The distances, as functions and operators.
 *
 * A column is real[] or double precision[].  What a query is compared with it
 * arrives in many types: drivers send lists of floats as double precision[],
 * ARRAY[0.1, 0.2] is numeric[], ARRAY[1, 2] is integer[].  There is an operator
 * for each pair of such types, since a gap would be filled by casts in more
 * ways than one, and the query be refused as ambiguous.
 *
 * The functions of one name take operands of one type, and PostgreSQL casts
 * the other: a function name of all pairs would be ambiguous for a quoted
 * literal, which operators take to be of the type of the other operand.  The
 * functions behind operators of two types are called ann_NAME.
 */
DO $$
DECLARE
	types CONSTANT regtype[] := ARRAY['real[]', 'double precision[]', 'numeric[]',
									  'integer[]', 'bigint[]', 'smallint[]'];
	a regtype;
	b regtype;
	distance record;
	function_name text;
BEGIN
	FOR distance IN
		VALUES ('l2_distance', '<->', 'Euclidean distance'),
			   ('cosine_distance', '<=>', 'cosine distance, 1 - cos'),
			   ('negative_inner_product', '<#>', 'negative inner product')
	LOOP
		FOREACH a IN ARRAY types LOOP
			FOREACH b IN ARRAY types LOOP
				function_name := distance.column1;
				IF a OPERATOR(pg_catalog.<>) b THEN
					function_name := pg_catalog.format('ann_%s', distance.column1);
				END IF;
				EXECUTE pg_catalog.format(
					'CREATE FUNCTION %1$I(%3$s, %4$s) RETURNS float8
						AS ''MODULE_PATHNAME'', ''ann_%2$s''
						LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
						SUPPORT ann_distance_support;
					 COMMENT ON FUNCTION %1$I(%3$s, %4$s) IS %6$L;
					 CREATE OPERATOR %5$s (LEFTARG = %3$s, RIGHTARG = %4$s,
						FUNCTION = %1$I, COMMUTATOR = %5$s);
					 COMMENT ON OPERATOR %5$s (%3$s, %4$s) IS %6$L',
					function_name, distance.column1, a, b,
					distance.column2, distance.column3);
			END LOOP;
		END LOOP;
	END LOOP;

	FOREACH a IN ARRAY types LOOP
		b := 'double precision[]';
		IF a OPERATOR(pg_catalog.=) 'real[]'::regtype THEN
			b := a;
		END IF;
		EXECUTE pg_catalog.format(
			'CREATE FUNCTION inner_product(%1$s, %1$s) RETURNS float8
				AS ''MODULE_PATHNAME'', ''ann_inner_product''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
				SUPPORT ann_distance_support;
			 COMMENT ON FUNCTION inner_product(%1$s, %1$s) IS ''inner product'';
			 CREATE FUNCTION l2_norm(%1$s) RETURNS float8
				AS ''MODULE_PATHNAME'', ''ann_l2_norm''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
				SUPPORT ann_distance_support;
			 COMMENT ON FUNCTION l2_norm(%1$s) IS ''Euclidean norm'';
			 CREATE FUNCTION l2_normalize(%1$s) RETURNS %2$s
				AS ''MODULE_PATHNAME'', ''ann_l2_normalize''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
				SUPPORT ann_distance_support;
			 COMMENT ON FUNCTION l2_normalize(%1$s) IS
				''the vector scaled to Euclidean norm 1''',
			a, b);
	END LOOP;
END
$$;

/*
 * Balls: what is within a distance of a query, and the operator that a range scan
 * is made of.  WHERE column <-> query < radius becomes column <@~ l2_ball(query,
 * radius) where an index can tell.  The query has a type that all others are cast
 * to, without loss but for integers beyond 2^53.
 */
DO $$
DECLARE
	a regtype;
	ball record;
BEGIN
	FOR ball IN
		VALUES ('l2_ball', 'Euclidean distance'),
			   ('cosine_ball', 'cosine distance'),
			   ('ip_ball', 'negative inner product')
	LOOP
		EXECUTE pg_catalog.format(
			'CREATE TYPE %1$I AS (centre double precision[], radius double precision);
			 COMMENT ON TYPE %1$I IS %2$L;
			 CREATE FUNCTION %1$I(centre double precision[], radius double precision) RETURNS %1$I
				AS ''MODULE_PATHNAME'', ''ann_ball''
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
			 COMMENT ON FUNCTION %1$I(double precision[], double precision) IS %2$L',
			ball.column1,
			pg_catalog.format('what is within a distance of a vector: %s', ball.column2));
		FOREACH a IN ARRAY ARRAY['real[]', 'double precision[]']::regtype[] LOOP
			EXECUTE pg_catalog.format(
				'CREATE FUNCTION ann_in_ball(%1$s, %2$I) RETURNS boolean
					AS ''MODULE_PATHNAME'', ''ann_in_%2$s''
					LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
					SUPPORT ann_distance_support;
				 COMMENT ON FUNCTION ann_in_ball(%1$s, %2$I) IS %3$L;
				 CREATE OPERATOR <@~ (LEFTARG = %1$s, RIGHTARG = %2$I,
					FUNCTION = ann_in_ball, RESTRICT = contsel, JOIN = contjoinsel);
				 COMMENT ON OPERATOR <@~ (%1$s, %2$I) IS %3$L',
				a, ball.column1, pg_catalog.format('in a ball of the %s', ball.column2));
		END LOOP;
	END LOOP;
END
$$;

CREATE FUNCTION annoyhandler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION annoyhandler(internal) IS 'annoy index access method handler';
CREATE ACCESS METHOD annoy TYPE INDEX HANDLER annoyhandler;
COMMENT ON ACCESS METHOD annoy IS
	'approximate nearest neighbours by a forest of random-projection trees';

CREATE FUNCTION annhnswhandler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION annhnswhandler(internal) IS 'ann_hnsw index access method handler';
CREATE ACCESS METHOD ann_hnsw TYPE INDEX HANDLER annhnswhandler;
COMMENT ON ACCESS METHOD ann_hnsw IS
	'approximate nearest neighbours by a graph of near neighbours';

/*
 * The operator classes: one for each method, type of a column and distance,
 * each in a family of its own.  A class orders by the distance of its column
 * to a query of any of the types above, and searches balls of that distance.
 */
DO $$
DECLARE
	types CONSTANT regtype[] := ARRAY['real[]', 'double precision[]', 'numeric[]',
									  'integer[]', 'bigint[]', 'smallint[]'];
	method text;
	a regtype;
	b regtype;
	distance record;
	class_name text;
	class_default text;
	members text;
BEGIN
	FOREACH method IN ARRAY ARRAY['annoy', 'ann_hnsw'] LOOP
		FOREACH a IN ARRAY ARRAY['real[]', 'double precision[]']::regtype[] LOOP
			FOR distance IN
				VALUES ('l2', 'l2_distance', '<->', 'Euclidean distance'),
					   ('cosine', 'cosine_distance', '<=>', 'cosine distance'),
					   ('ip', 'negative_inner_product', '<#>', 'negative inner product')
			LOOP
				class_name := pg_catalog.format('double_%s_ops', distance.column1);
				IF a OPERATOR(pg_catalog.=) 'real[]'::regtype THEN
					class_name := pg_catalog.format('real_%s_ops', distance.column1);
				END IF;
				class_default := '';
				IF distance.column1 OPERATOR(pg_catalog.=) 'l2' THEN
					class_default := 'DEFAULT';
				END IF;

				members := pg_catalog.format('FUNCTION 1 %I(%s, %s), OPERATOR 2 <@~ (%s, %I)',
					distance.column2, a, a, a, distance.column1 OPERATOR(pg_catalog.||) '_ball');
				FOREACH b IN ARRAY types LOOP
					members := pg_catalog.format(
						'%s, OPERATOR 1 %s (%s, %s) FOR ORDER BY pg_catalog.float_ops',
						members, distance.column3, a, b);
				END LOOP;
				EXECUTE pg_catalog.format(
					'CREATE OPERATOR FAMILY %1$I USING %2$I;
					 COMMENT ON OPERATOR FAMILY %1$I USING %2$I IS %6$L;
					 CREATE OPERATOR CLASS %1$I %3$s FOR TYPE %4$s USING %2$I
						FAMILY %1$I AS %5$s;
					 COMMENT ON OPERATOR CLASS %1$I USING %2$I IS %6$L',
					class_name, method, class_default, a, members,
					pg_catalog.format('%s of %s', distance.column4, a));
			END LOOP;
		END LOOP;
	END LOOP;
END
$$;

CREATE FUNCTION ann_index_info(index regclass,
	OUT method text, OUT metric text, OUT type text, OUT dimensions integer,
	OUT scalar text, OUT code_bits integer, OUT rows bigint, OUT chunks integer,
	OUT trees integer, OUT m integer, OUT ef_construction integer,
	OUT pages bigint, OUT node_pages bigint, OUT leaf_pages bigint,
	OUT element_pages bigint, OUT other_pages bigint, OUT free_pages bigint,
	OUT format_version integer, OUT seed bigint, OUT simd text)
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION ann_index_info(regclass) IS 'what an index is, and its pages by kind';

CREATE FUNCTION ann_chunks(index regclass,
	OUT chunk integer, OUT first_heap_block bigint, OUT last_heap_block bigint,
	OUT rows bigint, OUT dead bigint, OUT leaf_capacity integer,
	OUT pages bigint, OUT bytes bigint)
	RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION ann_chunks(regclass) IS 'the sub-indexes that an index consists of';

CREATE FUNCTION ann_calibration(index regclass,
	OUT row_limit integer, OUT setting bigint, OUT recall double precision)
	RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION ann_calibration(regclass) IS 'the recall that settings have been found to reach';

CREATE FUNCTION ann_check(index regclass, heap boolean DEFAULT false)
	RETURNS TABLE (block bigint, "offset" integer, code text, problem text)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION ann_check(regclass, boolean) IS 'what is wrong with an index, or with it and its table';
