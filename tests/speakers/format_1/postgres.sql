CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
CREATE FUNCTION public.mindvox_refuse() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
CREATE TABLE public.mindvox_about (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.mindvox_audit (
    number bigint NOT NULL,
    at double precision NOT NULL,
    action text NOT NULL,
    speaker bigint NOT NULL,
    name text NOT NULL,
    detail text NOT NULL
);
ALTER TABLE public.mindvox_audit ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.mindvox_audit_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.mindvox_samples (
    id bigint NOT NULL,
    speaker bigint NOT NULL,
    embedding public.vector(16) NOT NULL,
    source text NOT NULL,
    net_speech_s double precision NOT NULL,
    added double precision NOT NULL
);
ALTER TABLE public.mindvox_samples ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.mindvox_samples_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.mindvox_speakers (
    id bigint NOT NULL,
    public_id text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    centroid public.vector(16) NOT NULL,
    "group" text NOT NULL,
    consent text NOT NULL,
    expires double precision,
    created double precision NOT NULL,
    changed double precision NOT NULL,
    num_failures integer DEFAULT 0 NOT NULL,
    last_failure double precision DEFAULT 0 NOT NULL
);
ALTER TABLE public.mindvox_speakers ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.mindvox_speakers_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO public.mindvox_about VALUES ('format_version', '1');
INSERT INTO public.mindvox_about VALUES ('model', 'toy');
INSERT INTO public.mindvox_about VALUES ('fingerprint', 'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff');
INSERT INTO public.mindvox_about VALUES ('emb_size', '16');
INSERT INTO public.mindvox_audit OVERRIDING SYSTEM VALUE VALUES (1, 1000000, 'enrolled', 1, 'Anna', '2');
INSERT INTO public.mindvox_audit OVERRIDING SYSTEM VALUE VALUES (2, 1000000, 'enrolled', 2, 'Bert', '1');
INSERT INTO public.mindvox_audit OVERRIDING SYSTEM VALUE VALUES (3, 1000000, 'enrolled', 3, 'gone', '1');
INSERT INTO public.mindvox_audit OVERRIDING SYSTEM VALUE VALUES (4, 1000000, 'deleted', 3, 'gone', '');
INSERT INTO public.mindvox_samples OVERRIDING SYSTEM VALUE VALUES (1, 1, '[1.0367526,2.4648545,0.9913112,-3.9094715,2.7160676,1.3391237,-1.6108596,1.7433543,1.0937172,0.88239753,0.085266724,1.640139,-2.2093623,-0.48872986,-1.446358,1.7965386]', 'a.wav', 3.5, 1000000);
INSERT INTO public.mindvox_samples OVERRIDING SYSTEM VALUE VALUES (2, 1, '[0.5671601,-1.5682454,-1.2391907,-7.324402,5.399122,3.4324975,-0.9762685,2.3214197,0.843632,-1.6614685,2.9327023,-0.9316697,-0.98647165,-2.3764403,1.3648742,-0.29759416]', 'b.wav', 2, 1000000);
INSERT INTO public.mindvox_samples OVERRIDING SYSTEM VALUE VALUES (3, 2, '[6.122757,-7.666995,1.2542965,-1.7033088,-1.3579478,-0.6467915,-6.0599585,-0.6957971,-2.5956392,9.968998,0.6773598,-1.0578923,-0.8438623,-2.004139,-3.1654515,-1.172403]', 'c.wav', 2, 1000000);
INSERT INTO public.mindvox_speakers OVERRIDING SYSTEM VALUE VALUES (1, '3f0b542030b74214bf326a906546ff74', 'Anna', '[0.10806141,0.111364104,0.014423553,-0.6662683,0.4783815,0.27431157,-0.17264377,0.24996357,0.12624049,-0.01502815,0.15290979,0.07968476,-0.2191964,-0.1561896,-0.04315884,0.12335891]', 'staff', 'yes', NULL, 1000000, 1000000, 0, 0);
INSERT INTO public.mindvox_speakers OVERRIDING SYSTEM VALUE VALUES (2, '7f31dde37741491ca47904f5e72eca81', 'Bert', '[0.37680495,-0.47184002,0.07719156,-0.10482454,-0.083570436,-0.03980466,-0.37294024,-0.042820547,-0.15974009,0.61350924,0.041685887,-0.06510451,-0.051932734,-0.12333815,-0.19480732,-0.07215169]', '', '', NULL, 1000000, 1000000, 0, 0);
SELECT pg_catalog.setval('public.mindvox_audit_number_seq', 4, true);
SELECT pg_catalog.setval('public.mindvox_samples_id_seq', 4, true);
SELECT pg_catalog.setval('public.mindvox_speakers_id_seq', 3, true);
ALTER TABLE ONLY public.mindvox_about
    ADD CONSTRAINT mindvox_about_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.mindvox_audit
    ADD CONSTRAINT mindvox_audit_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.mindvox_samples
    ADD CONSTRAINT mindvox_samples_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.mindvox_speakers
    ADD CONSTRAINT mindvox_speakers_name_key UNIQUE (name);
ALTER TABLE ONLY public.mindvox_speakers
    ADD CONSTRAINT mindvox_speakers_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.mindvox_speakers
    ADD CONSTRAINT mindvox_speakers_public_id_key UNIQUE (public_id);
CREATE INDEX mindvox_audit_speaker_idx ON public.mindvox_audit USING btree (speaker);
CREATE INDEX mindvox_samples_speaker_idx ON public.mindvox_samples USING btree (speaker);
CREATE INDEX mindvox_speakers_expires_idx ON public.mindvox_speakers USING btree (expires) WHERE (expires IS NOT NULL);
CREATE INDEX mindvox_speakers_group_idx ON public.mindvox_speakers USING btree ("group");
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.mindvox_audit FOR EACH STATEMENT EXECUTE FUNCTION public.mindvox_refuse();
ALTER TABLE ONLY public.mindvox_samples
    ADD CONSTRAINT mindvox_samples_speaker_fkey FOREIGN KEY (speaker) REFERENCES public.mindvox_speakers(id) ON DELETE CASCADE;
