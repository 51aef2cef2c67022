"""Train one network under the protocols of several papers, and see how much the protocol alone changes the score.

python examples/compare_protocols.py dfer-demo/prepared/dfew-retinaface --protocols default dfer-clip

A protocol names which clips count, which frames are read and which epoch is tested. Two published scores under two
protocols are not comparable.
"""

import argparse

import lstpnet


def main() -> None:
    """Train once per protocol and print the scores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default="dfer-demo/prepared/dfew-retinaface", help="prepared dataset")
    parser.add_argument("--fold", type=int, default=3)
    parser.add_argument("--protocols", nargs="+", default=["default", "dfer-clip"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.25, help="width of the network; 1 is the published one")
    parser.add_argument("--out", default="runs-protocols", help="folder of the runs")
    options = parser.parse_args()

    runs = []
    for protocol in options.protocols:
        # Everything but the protocol is equal, the size of the frames included.
        settings = {"protocol": protocol, "size_px": 64, "epochs": options.epochs, "width_multiplier": options.width}
        settings |= {"frame_epochs": 0, "controls": False}
        run = lstpnet.train(options.data, fold=options.fold, recipe="demo", overrides=settings, out=options.out)
        runs.append(run)

    for run in runs:
        print(f"{run.info.recipe}: {run.info.protocol}")
    for row in lstpnet.report(runs).rows:
        print(f"{row.recipe} ({row.checkpoint}): WAR {row.war:.2%}, UAR {row.uar:.2%} on {row.n} clips")


if __name__ == "__main__":
    main()
