"""Objectives and classifier heads of the reference vectors: which of ours they are, with which keys."""

OURS = {"scale": 32.0, "fallback": "cosine"}  # wespeaker's, 3D-Speaker's and mvector's
CASES: dict[str, tuple[str, dict]] = {
    "mv_aam_smooth": ("aam_softmax", {**OURS, "margin": 0.2, "label_smoothing": 0.1}),
    "mv_ce_smooth0.0": ("am_softmax", {"scale": 1.0, "margin": 0.0}),
    "mv_ce_smooth0.1": ("am_softmax", {"scale": 1.0, "margin": 0.0, "label_smoothing": 0.1}),
    "mv_am_m0.0": ("am_softmax", {"scale": 32.0, "margin": 0.0}),
    "mv_am_m0.3": ("am_softmax", {"scale": 32.0, "margin": 0.3}),
    "mv_arm_m0.0": ("arm_softmax", {"scale": 32.0, "margin": 0.0}),
    "mv_arm_m0.3": ("arm_softmax", {"scale": 32.0, "margin": 0.3}),
    "mv_triplet_angular_default": ("triplet_angular", {}),
    "mv_triplet_angular_noabs": ("triplet_angular", {"has_bounds": False}),
    "mv_triplet_angular_wide": ("triplet_angular", {"margin": 0.9, "same_bound": 0.95, "other_bound": -0.3}),
    "vt_softmax": ("softmax", {}),
    "vt_softmaxproto": ("softmax_prototypical", {}),
    "vt_angleproto_n2": ("angular_prototypical", {}),
    "vt_angleproto_n3": ("angular_prototypical", {"num_utterances": 3}),
    "vt_ge2e_n2": ("ge2e", {}),
    "vt_ge2e_n3": ("ge2e", {"num_utterances": 3}),
    "vt_proto_n2": ("prototypical", {}),
    "vt_proto_n3": ("prototypical", {"num_utterances": 3}),
    "vt_triplet_m0.0_rank0": ("triplet", {"margin": 0.0, "hard_rank": 0, "hard_prob": 1.0}),
    "vt_triplet_m0.3_rank0": ("triplet", {"margin": 0.3, "hard_rank": 0, "hard_prob": 1.0}),
    "vt_triplet_m1.5_rank2": ("triplet", {"margin": 1.5, "hard_rank": 2, "hard_prob": 1.0}),
    "ws_arc_intertopk_subcenter_lm": ("aam_softmax", {**OURS, "margin": 0.5, "sub_centers": 3}),
    "ws_sphere_m4_step1": ("sphere", {}),
    "ws_sphere_m4_step500": ("sphere", {}),
    "ws_sphere_m4_step2000": ("sphere", {}),
}
for margin in (0.0, 0.2, 0.5):
    for suffix, easy in (("", False), ("_easy", True)):
        for toolkit in ("3d_arc_margin", "mv_aam", "ws_arc_margin"):
            keys = {**OURS, "margin": margin, "easy_margin": easy}
            CASES[f"{toolkit}_m{margin}{suffix}"] = ("aam_softmax", keys)
    for toolkit in ("3d_add_margin", "ws_add_margin"):
        CASES[f"{toolkit}_m{margin}"] = ("am_softmax", {"scale": 32.0, "margin": margin})
    CASES[f"mv_subcenter_m{margin}"] = ("aam_softmax", {**OURS, "margin": margin, "sub_centers": 3})
    nearest = {"inter_topk": 5, "inter_topk_margin": 0.06 * margin / 0.2}
    CASES[f"ws_arc_intertopk_subcenter_m{margin}"] = ("aam_softmax", {**CASES[f"mv_subcenter_m{margin}"][1], **nearest})
for margin in (0.0, 0.2):
    for kind in "AC":
        for toolkit in ("mv", "ws"):
            keys = {"scale": 32.0, "margin": margin, "margin_type": kind}
            CASES[f"{toolkit}_sphereface2_{kind}_m{margin}"] = ("sphereface2", keys)
for margin, scale in ((0.0, 15), (0.1, 30), (0.3, 15)):
    CASES[f"vt_amsoftmax_m{margin}_s{scale}"] = ("am_softmax", {"scale": float(scale), "margin": margin})
    for suffix, easy in (("", False), ("_easy", True)):
        keys = {"scale": float(scale), "margin": margin, "easy_margin": easy}
        CASES[f"vt_aamsoftmax_m{margin}_s{scale}{suffix}"] = ("aam_softmax", keys)

HEADS = {
    "mv_head_cosine_k1_blocks0": ("am_softmax", {}),
    "mv_head_cosine_k3_blocks0": ("am_softmax", {"sub_centers": 3}),
    "mv_head_cosine_k1_blocks2": ("am_softmax", {"hidden_layers": 2, "hidden_size": 16}),
    "mv_head_linear_k1_blocks0": ("softmax", {}),
    "ws_linear": ("softmax", {"norm_first": True}),
}
