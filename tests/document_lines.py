"""The scripts of the requirement documents, and what each of their lines must run."""

ADVENT, ICNETS, POINTRENDS = "documents/IntraDA", "documents/ICNet", "documents/PointRend"
STAGE_TWO = {"method": "min_entropy", "aspp_branches": 4, "loss_scale": "128", "amp_level": "O2"}
STAGE_TWO |= {"parameter_groups": "nominal"}
ICNET = {"network": "icnet", "depths": (3, 4, 6, 3), "label_resize": "original", "num_steps": 200}
POINTREND = {"network": "pointrend", "loss_scale": "512", "milestones": (40000, 55000)}
OPTIONS = "--data_path={home}/datasets --pth_path={home}/R-101.pkl --output_path={home}/output"

# (where it is typed, the line, then what each of its runs must be: devices, program and keys of the configuration)
SCRIPTS = [
    ("scripts", "bash run_train.sh 8 {home}/data", (8, "train_adv.py", {"method": "adversarial", "aspp_branches": 2})),
    ("scripts", "bash run_train_src.sh 1 {home}/data", (1, "train_src.py", {"method": "supervised"})),
    ("scripts", "bash run_eval.sh {home}/tiny.ckpt 1 0", (1, "eval_adv.py", {"eval_mode": "score"})),
    (".", "bash scripts/train.sh 8 {home}/data", (8, "train_adv.py", {"learning_rate": 2.5e-4})),
    (".", "bash scripts/train_src.sh 8 {home}/data", (8, "train_src.py", {"method": "supervised"})),
    (".", "bash scripts/test.sh {home}/tiny.ckpt", (1, "eval_adv.py", {"eval_mode": "score"})),
    (f"{ADVENT}/entropy_rank", "bash gen_color_mask_npu.sh",
     (1, "eval_adv.py", {"eval_mode": "rank", "aspp_branches": 4, "normalize_rare": False, "lambda_easy": 0.67})),
    (f"{ADVENT}/intrada", "bash test/train_performance_1p.sh",
     (1, "train_adv.py", {**STAGE_TWO, "learning_rate": 1e-3, "num_steps_stop": 500})),
    (f"{ADVENT}/intrada", "bash test/train_performance_8p.sh",
     (8, "train_adv.py", {**STAGE_TWO, "learning_rate": 8e-3, "num_steps_stop": 500})),
    (f"{ADVENT}/intrada", "bash test/train_full_8p.sh",
     (8, "train_adv.py", {**STAGE_TWO, "num_steps_stop": 3751, "save_pred_every": 30, "eval_every": 0})),
    (f"{ADVENT}/intrada", "bash test/train_eval_8p.sh", (1, "eval_adv.py", {"eval_mode": "snapshots"})),
    (ICNETS, "bash ./test/train_full_1p.sh --data_path={home}/datasets/",
     (1, "train_src.py", {**ICNET, "learning_rate": 0.01, "batch_size": 7})),
    (ICNETS, "bash ./test/train_full_8p.sh --data_path={home}/datasets/cityscapes",
     (8, "train_src.py", {**ICNET, "learning_rate": 0.1, "batch_size": 16})),
    (POINTRENDS, f"bash test/train_performance_1p.sh {OPTIONS}",
     (1, "train_src.py", {**POINTREND, "batch_size": 16, "num_steps": 500})),
    (POINTRENDS, f"bash test/train_performance_8p.sh {OPTIONS}",
     (8, "train_src.py", {**POINTREND, "batch_size": 4, "num_steps": 500})),
    (POINTRENDS, f"bash test/train_full_1p.sh {OPTIONS}",
     (1, "train_src.py", {**POINTREND, "batch_size": 16, "learning_rate": 0.005, "num_steps": 65000}),
     (1, "eval_adv.py", {})),
    (POINTRENDS, f"bash test/train_full_8p.sh {OPTIONS}",
     (8, "train_src.py", {**POINTREND, "batch_size": 4, "learning_rate": 0.01, "num_steps": 65000}),
     (1, "eval_adv.py", {})),
    (POINTRENDS, f"bash test/train_eval_8p.sh {OPTIONS}", (1, "eval_adv.py", {"network": "pointrend"})),
    (POINTRENDS, f"bash test/train_finetune_1p.sh {OPTIONS}",
     (1, "train_src.py", {**POINTREND, "batch_size": 16, "learning_rate": 0.005}), (1, "eval_adv.py", {})),
]  # fmt: skip
