// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BTRST} from "../src/BTRST.sol";
import {RewardsMinter} from "../src/RewardsMinter.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {Fixture} from "./Fixture.sol";
import {SettlementActor, SettlementInvariants} from "./SettlementActor.sol";
import {vm} from "./Vm.sol";

/// @dev Beside settling: what members and the locker can do with the token.
contract Actor is SettlementActor {
    mapping(address account => uint256) public held;

    BTRST private immutable token;

    constructor(BTRST token_, RewardsMinter minter_, address signer_, address guardian_, address timelock_)
        SettlementActor(minter_, token_, signer_, guardian_, timelock_)
    {
        token = token_;
    }

    function payableWei() public view override returns (uint256) {
        return token.cap() - token.totalSupply();
    }

    function trespassFurther(address who, uint96 amount) internal override {
        bytes32 minterRole = token.MINTER_ROLE();
        bytes32 lockerRole = token.LOCKER_ROLE();
        bytes[6] memory calls = [
            abi.encodeCall(BTRST.mintPacked, (oneWord(amount))),
            abi.encodeCall(BTRST.appointLocker, (who)),
            abi.encodeCall(BTRST.lock, (person(0), 0)),
            abi.encodeCall(BTRST.seize, (person(0), who, 0)),
            abi.encodeCall(token.grantRole, (minterRole, who)),
            abi.encodeCall(token.revokeRole, (lockerRole, address(this)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            attempt(who, address(token), calls[i]);
        }
    }

    function mintDirectly(uint256 seed, uint96 amount) external {
        attempt(
            seed % 2 == 0 ? timelock : signer,
            address(token),
            abi.encodeCall(BTRST.mintPacked, (oneWord(amount)))
        );
    }

    function move(uint256 seed, uint256 amount) external {
        (address from, address to) = (person(seed), person(seed / 7));
        amount %= balances[from] + 2;
        bool free = amount + held[from] <= balances[from];
        vm.prank(from);
        try token.transfer(to, amount) {
            if (!free) wronglyAccepted = true;
            balances[from] -= amount;
            balances[to] += amount;
        } catch {
            if (free) wronglyAccepted = true;
        }
    }

    function lock(uint256 seed, uint256 amount) external {
        address account = person(seed);
        amount %= balances[account] + 2;
        try token.lock(account, amount) {
            held[account] += amount;
        } catch {
            if (held[account] + amount <= balances[account]) wronglyAccepted = true;
        }
    }

    function unlock(uint256 seed, uint256 amount) external {
        address account = person(seed);
        amount %= held[account] + 2;
        try token.unlock(account, amount) {
            held[account] -= amount;
        } catch {
            if (amount <= held[account]) wronglyAccepted = true;
        }
    }

    function seize(uint256 seed, uint256 amount) external {
        (address account, address to) = (person(seed), person(seed / 7));
        amount %= held[account] + 2;
        try token.seize(account, to, amount) {
            held[account] -= amount;
            balances[account] -= amount;
            balances[to] += amount;
        } catch {
            if (amount <= held[account]) wronglyAccepted = true;
        }
    }

    function delegate(uint256 seed) external {
        vm.prank(person(seed));
        token.delegate(seed % 3 == 0 ? address(0) : person(seed / 7));
    }
}

contract SupplyInvariants is Fixture, SettlementInvariants {
    Actor private actor;

    function setUp() public override {
        super.setUp();
        actor = new Actor(token, minter, signer, guardian, address(timelock));
        appointLocker(address(actor));
    }

    function books() internal view override returns (SettlementActor) {
        return actor;
    }

    function settlement() internal view override returns (SettlementBase) {
        return minter;
    }

    function test_the_actor_reaches_what_it_is_there_for() external {
        actor.settle(0, 4, 2, 7e18);
        actor.lock(0, 1e18);
        vm.assertEq(actor.settlements(), 1);
        vm.assertEq(actor.loggedWei(), 3 * (7e18 + 1));
        vm.assertEq(token.locked(actor.person(0)), 1e18);
        actor.wait(1 hours);
        actor.settleOutOfTurn(1, 1);
        actor.trespass(1, 1);
        actor.setLimits(1, 1);
        vm.assertEq(actor.settledRewards(), 5);
        vm.assertFalse(actor.wronglyAccepted());
    }

    function invariant_the_deployer_has_no_role() external view {
        address deployer = address(this);
        bytes32[3] memory ofToken = [bytes32(0), token.MINTER_ROLE(), token.LOCKER_ROLE()];
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertFalse(token.hasRole(ofToken[i], deployer));
        }
        bytes32[4] memory ofTimelock =
            [bytes32(0), timelock.PROPOSER_ROLE(), timelock.EXECUTOR_ROLE(), timelock.CANCELLER_ROLE()];
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertFalse(timelock.hasRole(ofTimelock[i], deployer));
        }
        vm.assertTrue(minter.signer() != deployer && minter.guardian() != deployer);
        vm.assertTrue(minter.timelock() != deployer && parameters.timelock() != deployer);
        vm.assertTrue(token.treasury() != deployer && governor.submitter() != deployer);
    }

    function invariant_supply_is_genesis_and_what_was_settled() external view {
        vm.assertEq(token.totalSupply(), token.GENESIS_SUPPLY() + actor.settledWei(), "supply");
        vm.assertLe(token.totalSupply(), token.cap(), "cap");
        vm.assertEq(token.balanceOf(address(minter)), 0, "the minter keeps nothing");
    }

    function invariant_balances_and_locks_are_as_booked() external view {
        uint256 sum = token.balanceOf(address(timelock));
        for (uint256 i = 0; i < actor.PEOPLE(); ++i) {
            address account = actor.person(i);
            uint256 balance = token.balanceOf(account);
            vm.assertEq(balance, actor.balances(account), "balance");
            vm.assertEq(token.locked(account), actor.held(account), "locked");
            vm.assertLe(token.locked(account), balance, "a lock above the balance");
            sum += balance;
        }
        vm.assertEq(sum, token.totalSupply(), "sum of balances");
    }

    function invariant_each_vote_is_delegated_once_and_the_treasurys_never_moves() external view {
        uint256 delegated = 0;
        uint256 votes = 0;
        for (uint256 i = 0; i < actor.PEOPLE(); ++i) {
            address account = actor.person(i);
            if (token.delegates(account) != address(0)) delegated += token.balanceOf(account);
            votes += token.getVotes(account);
        }
        vm.assertEq(votes, delegated, "votes");
        vm.assertEq(token.getVotes(token.NON_VOTING()), token.GENESIS_SUPPLY(), "treasury votes");
    }
}
