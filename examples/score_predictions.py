"""Score the predictions of any model: WAR, UAR and recall per class.

python examples/score_predictions.py predictions.csv dfer-demo/prepared/dfew-retinaface

The CSV has `clip_id` and `prediction` (a class name); own_training_loop.py writes one. A test clip that it lacks gets
the most frequent class of the train part, so that a missing clip never improves a score.
"""

import argparse

import lstpnet


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("predictions", nargs="?", default="predictions.csv")
    parser.add_argument("data", nargs="?", default="dfer-demo/prepared/dfew-retinaface", help="prepared dataset")
    parser.add_argument("--fold", type=int, default=3)
    options = parser.parse_args()

    report = lstpnet.report(predictions=[options.predictions], folds=[options.fold], data=options.data)
    row = report.rows[0]
    print(f"{row.n} clips: WAR {row.war:.2%}, UAR {row.uar:.2%}")
    for name, recall in row.recall.items():
        print(f"  recall of {name}: " + ("no test clip" if recall is None else f"{recall:.2%}"))
    print(row.protocol)  # report.to_markdown(), to_latex() and to_html() give tables with 95 % intervals


if __name__ == "__main__":
    main()
